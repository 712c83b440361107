"""Networks: what they are (`layer`), how a module becomes one (`export`), and where they are kept (`store`)."""

"""What runs inside the capped process. Imports torch; imported by nothing but the worker and the tests."""

"""What was measured: records, where they are kept, and the statistics over them. Never imports torch."""

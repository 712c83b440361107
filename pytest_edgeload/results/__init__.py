"""Results: records, their files, and the statistics, findings and gates on them. Never imports torch."""

"""Reports: one file a format, each a function of the records. They print nothing; they return text."""

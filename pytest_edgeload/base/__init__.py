"""Used everywhere: sizes, text, errors, files, locks and interrupts. Imports nothing of the project but itself."""

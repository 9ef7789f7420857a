"""Looking into a memory: differences, duplicates, pictures."""

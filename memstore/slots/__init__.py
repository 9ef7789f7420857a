"""The table of slots in RAM, and the rules that read and change it."""

"""The two command-line apps."""

"""Exact cosine search over the keys."""

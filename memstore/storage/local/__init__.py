"""A memory in a folder: its repository, syncs, and the lock of its writer."""

"""A memory on an object store: where it lies, calls that end in time, conditional commits."""

"""A memory on disk: transactions over Zarr arrays."""

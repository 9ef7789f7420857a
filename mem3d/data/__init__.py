"""Data: reading the R2N2 layout, voxel and mesh files, rendering, procedural shapes."""

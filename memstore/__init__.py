"""memstore: a memory of voxel grids, looked up by cosine similarity.

Names are imported when first used, so that a file format costs neither FAISS nor Zarr. Beside the
names here, four modules are public: `memstore.voxels.binvox` (files of voxels),
`memstore.voxels.mesh` (grids to triangles), `memstore.files` (whole files or none) and
`memstore.voxels.contact_sheet` (contact sheets).
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)

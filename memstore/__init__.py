"""memstore: a memory of voxel grids, looked up by cosine similarity.

Names are imported when first used, so that a file format costs neither FAISS nor Zarr. Beside the
names in __init__.pyi, six modules are public: `memstore.sharded` (a memory dealt to workers),
`memstore.files` (whole files or none), and `memstore.voxels.grids` (packed bits), `.binvox` (files
of voxels), `.mesh` (grids to triangles) and `.contact_sheet` (pictures in rows).
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)

"""mem3d: single-image 3-D reconstruction with a memory of shapes (Mem3D, CVPR 2021).

Names are imported when first used, so that commands which need no network start without torch.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)

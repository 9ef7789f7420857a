"""mem3d: single-image 3-D reconstruction with a memory of shapes (Mem3D, CVPR 2021).

Names are imported when first used, so that commands which need no network start without torch.
"""

from importlib.util import find_spec

import lazy_loader

from memstore import ExtraMissingError

if find_spec("torch") is None:  # memstore alone is installed
    raise ExtraMissingError.of("mem3d", "torch", "mem3d")

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)

from .pretrained import publish as publish
from .reconstruct import Prior as Prior
from .reconstruct import Reconstruction as Reconstruction
from .reconstruct import comparison as comparison
from .reconstructor import Reconstructor as Reconstructor
from .reconstructor import load as load

from .device import DeviceMemory as DeviceMemory
from .host import HostMemory as HostMemory
from .interface import Recalled as Recalled
from .interface import TrainingMemory as TrainingMemory

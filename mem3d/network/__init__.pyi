from .config import ModelConfig as ModelConfig
from .config import Preset as Preset
from .config import TrainConfig as TrainConfig
from .model import Mem3D as Mem3D
from .model import Output as Output
from .presets import PRESETS as PRESETS

from .evaluate import Scores as Scores
from .evaluate import score as score
from .evaluate import summarise as summarise
from .leakage import known_shapes as known_shapes

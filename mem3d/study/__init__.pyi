from .study import Study as Study
from .worker import run_study as run_study

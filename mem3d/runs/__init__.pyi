from .averaging import average as average
from .copy import copy_run as copy_run
from .memorization import memorize as memorize

"""Large packages, imported without the garbage collector, which finds nothing in them."""

import gc
import sys
from importlib import import_module


def import_uncollected(name: str) -> None:
    """Import a package that stays for good, so that the collector never looks through it.

    With torch, those looks take a seventh of the time that one photo takes in a process of its
    own, most of it as the process ends. Does nothing where the package is imported already: what
    else is there then is not all here to stay.

    Args:
        name: of the package.
    """
    if name in sys.modules:
        return
    is_on = gc.isenabled()
    gc.disable()
    try:
        import_module(name)
    finally:
        gc.freeze()
        if is_on:
            gc.enable()

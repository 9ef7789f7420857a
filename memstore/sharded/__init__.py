"""A memory dealt to several workers, Ray's actors say, that answers as one in one piece does.

    from memstore.sharded import ShardedMemory

Ray is loaded when workers of its are started, by `workers="ray"`, and not before.
"""

from memstore.sharded.costs import Costs, costs
from memstore.sharded.manifest import history, tags
from memstore.sharded.memory import ShardedMemory

__all__ = ["Costs", "ShardedMemory", "costs", "history", "tags"]

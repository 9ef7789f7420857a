"""Checks of a network and of a memory: two processes that have opened the same one get the same."""

import numpy as np
import torch
from torch import nn

from mem3d.integrity import check_of_facts, new_hash
from memstore import Memory

_AT_ONCE = 256  # slots


def check_of_network(model: nn.Module) -> str:
    """Check of all weights, with their names, types and shapes."""
    digest = new_hash()
    for name, weight in sorted(model.state_dict().items()):
        digest.update(f"{name} {weight.dtype} {tuple(weight.shape)}\n".encode())
        raw = weight.detach().cpu().contiguous().reshape(-1).view(torch.uint8)
        digest.update(raw.numpy())
    return digest.hexdigest()


def check_of_memory(memory: Memory) -> str:
    """Check of the config and of all slots: keys, values and sources."""
    digest, slots = new_hash(), memory.slots
    digest.update(f"{memory.config} {memory.clock}\n".encode())
    for part in np.array_split(slots, len(slots) // _AT_ONCE + 1):
        for column in (part, memory.keys(part), memory.values(part)):
            digest.update(np.ascontiguousarray(column).data)
        digest.update(check_of_facts(memory.sources_of(part)).encode())
    return digest.hexdigest()

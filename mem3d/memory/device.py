"""A memory's working copy on the device that trains: searched, compared and written there.

On a GPU a step of the whole network takes less time than its memory on the CPU, and both wait for
each other. The copy holds keys and values as tensors, 4 (C + R^3) bytes a slot, 180 KB at the
paper's sizes; one product finds all cosines of a batch, another all value similarities, and the
rules of `memstore` are applied to these (device_writes.py has the one for writes). What was
written goes back to the memory with `flush`.

The arithmetic is not memstore's: cosines are float32 products, so that slots as near to the last
digits may change places.

Over 250 lines: one class, whose methods are those of a memory and share its tensors.
"""

# B = batch, N = rows up to the last used slot, C = channels of a feature, R = voxels per side

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import normalize, pad

from mem3d.memory.device_writes import EMPTY, planned
from mem3d.memory.interface import Recalled, nothing_recalled
from memstore import FeatureError, Memory, MemoryConfig, Rows, WriteReport

_NOBODY = -2  # no source's number
_NOT_FINITE = "features: got nan or inf, want finite numbers"


@dataclass(frozen=True)
class Products:
    """A batch of pairs against every row.

    Attributes:
        units: (B, C) features of length one; zeros stay zeros.
        cosines: (B, N), -inf at empty slots.
        similarities: (B, N) float64 value similarities.
        is_alive: (B,) bool, features that point somewhere.
    """

    units: Tensor
    cosines: Tensor
    similarities: Tensor
    is_alive: Tensor


class DeviceMemory:
    """The rows of a memory as tensors on a device.

    Read by `recall.recall` and by the step's losses as a memory is; the memory itself is not to be
    written meanwhile, and is behind until `flush`.

    Args:
        memory: to begin with, and to bring what was written back to; opened to be written.
        device: where the tensors lie.
    """

    def __init__(self, memory: Memory, device: str | torch.device) -> None:
        config, slots = memory.config, memory.slots
        self.memory, self.config = memory, config
        self._keys = torch.zeros(config.capacity, config.key_dim, device=device)
        self._values = torch.zeros(config.capacity, config.resolution**3, device=device)
        self._full = torch.zeros(config.capacity, device=device)
        self._reads = torch.zeros(config.capacity, dtype=torch.int64, device=device)
        self._names = torch.full((config.capacity,), _NOBODY, device=device)
        self._is_used = torch.zeros(config.capacity, dtype=torch.bool, device=device)
        self._touched = np.full(config.capacity, EMPTY, np.int64)
        self._sources = [""] * config.capacity
        self._numbers: dict[str, int] = {}  # of sources
        self._written = dict.fromkeys(("merge", "insert", "evict"), 0)
        self._clock = memory.clock
        self._last: tuple[Tensor, Products] | None = None
        if len(slots):
            at = torch.from_numpy(slots).to(device)
            self._keys[at] = torch.from_numpy(memory.keys(slots)).to(device)
            for some in torch.split(torch.from_numpy(slots), 256):
                grids = torch.from_numpy(memory.values(some.numpy())).to(device)
                self._values[some.to(device)] = grids.flatten(1).float()
            self._full = self._values.sum(1)
            self._reads[at] = torch.from_numpy(memory.reads).to(device)
            self._is_used[at] = True
            self._touched[slots] = memory.clock - memory.ages
            for slot, source in zip(slots.tolist(), memory.sources, strict=True):
                self._sources[slot] = source
            self._names[at] = self._numbered(memory.sources)

    @staticmethod
    def bytes_for(config: MemoryConfig) -> int:
        """Bytes that the rows of a memory take on the device."""
        return 4 * config.capacity * (config.key_dim + config.resolution**3)

    def __len__(self) -> int:
        return int((self._touched != EMPTY).sum())

    @property
    def _rows(self) -> int:
        """N."""
        used = np.flatnonzero(self._touched != EMPTY)
        return int(used[-1]) + 1 if used.size else 0

    def _numbered(self, sources: Sequence[str | None]) -> Tensor:
        """(n,) a number for each source, the same for the same; _NOBODY for None."""
        known = self._numbers
        found = [_NOBODY if s is None else known.setdefault(s, len(known)) for s in sources]
        return self._sent(torch.tensor(found, dtype=torch.int64))

    def _sent(self, host: Tensor) -> Tensor:
        """On the device; the host does not wait for what the device has yet to do."""
        return host.to(self._keys.device, non_blocking=True)

    def _units(self, features: Tensor) -> Tensor:
        return normalize(features.detach().float(), dim=1, eps=1e-30)

    def recall(
        self, features: Tensor, k: int, exclude: Sequence[str | None] | None = None
    ) -> Recalled:
        """As `recall.recall`."""
        rows = self._rows
        if not rows:
            return nothing_recalled(features, self.config.resolution)
        units = self._units(features)
        cosines = _product(units, self._keys[:rows])
        cosines.masked_fill_(~self._is_used[:rows], -torch.inf)
        if exclude is not None:
            named = self._numbered(exclude)
            is_own = (named[:, None] == self._names[:rows]) & (named != _NOBODY)[:, None]
            cosines.masked_fill_(is_own, -torch.inf)
        best, slots = cosines.clamp(max=1).topk(min(k, rows), dim=1)
        is_found = (best > float(np.float32(self.config.beta))) & units.any(1, keepdim=True)
        # One wait for the device.
        told = torch.stack([best, is_found.float(), slots.float()])  # at most 2^24 slots
        best_, found_, slots_ = told.cpu().numpy()
        if np.isnan(best_).any():
            raise FeatureError(_NOT_FINITE)
        found = found_ > 0
        width = max(1, int(found.sum(1).max(initial=0)))
        slots, is_found = slots[:, :width], is_found[:, :width]
        self._reads.index_add_(0, slots.flatten(), is_found.flatten().long())
        priors = self._values[slots] * is_found[..., None]
        sides = (self.config.resolution,) * 3
        return Recalled(
            priors=priors.view(len(features), width, *sides).to(features.dtype),
            counts=is_found.sum(1),
            slots=np.where(found, slots_, EMPTY)[:, :width].astype(np.int64),
            cosines=np.where(found, best_, -np.inf)[:, :width].astype(np.float32),
        )

    def products(self, features: Tensor, grids: Tensor) -> Products:
        """Pairs (B, C) and (B, R, R, R) against every row, found once for all that asks."""
        if self._last is not None and self._last[0].data_ptr() == features.data_ptr():
            return self._last[1]
        rows, units = self._rows, self._units(features)
        cosines = _product(units, self._keys[:rows])
        cosines.masked_fill_(~self._is_used[:rows], -torch.inf)
        voxels = grids.flatten(1).float()
        similarities = self._similarities(voxels, self._values[:rows], self._full[:rows])
        found = Products(units, cosines, similarities, units.any(1))
        self._last = (features, found)
        return found

    def _similarities(self, voxels: Tensor, values: Tensor, full: Tensor) -> Tensor:
        """(B, n) float64: the counts are whole numbers, which any order of sums gives exactly."""
        common = _product(voxels, values).double()
        both = voxels.sum(1).double()[:, None] + full.double()
        if self.config.value_similarity == "mse":
            size = self.config.resolution**3
            return (size - (both - 2 * common)) / size
        return torch.where(both > 0, common / (both - common).clamp(min=1), 1.0)

    def contrast_keys(self, features: Tensor, grids: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """As `recall.contrast_keys`."""
        found = self.products(features, grids)
        if not found.cosines.shape[1]:
            none = torch.zeros_like(found.units)
            return none, none, torch.zeros_like(found.is_alive)
        is_alike = found.similarities >= self.config.delta
        kinds = [
            found.cosines.masked_fill(other, -torch.inf).max(1) for other in (~is_alike, is_alike)
        ]
        valid = found.is_alive & kinds[0].values.isfinite() & kinds[1].values.isfinite()
        positive, negative = (self._keys[kind.indices] * valid[:, None] for kind in kinds)
        return positive, negative, valid

    def remember(self, features: Tensor, grids: Tensor, sources: Sequence[str]) -> WriteReport:
        """As `recall.remember`."""
        found = self.products(features, grids)
        self._last = None
        voxels, units = grids.flatten(1).float(), found.units
        own = self._similarities(voxels, voxels, voxels.sum(1))
        asked = (found.cosines, found.similarities, _product(units, units), own, found.is_alive)
        cosines, similarities, own_cosines, own_similarities, alive = _fetched(*asked)
        if not np.isfinite(own_cosines).all():
            raise FeatureError(_NOT_FINITE)
        plan = planned(
            cosines,
            similarities,
            own_cosines,
            own_similarities,
            alive,
            self._touched,
            self._clock,
            self.config.delta,
        )
        slots = torch.tensor([*plan.mixtures], dtype=torch.int64)
        weights = torch.from_numpy(np.array([*plan.mixtures.values()], np.float32))
        if len(slots):
            slots, weights = self._sent(slots), self._sent(weights)
            mixed = weights[:, :1] * self._keys[slots] + _product(weights[:, 1:], units.T)
            self._keys[slots] = normalize(mixed, dim=1)
            self._is_used[slots] = True
        if plan.values:
            pairs = [*plan.values.values()]
            names = [sources[pair] for pair in pairs]
            at, pairs_ = self._sent(torch.tensor([[*plan.values], pairs]))
            self._values[at] = voxels[pairs_]
            self._full[at] = voxels[pairs_].sum(1)
            self._reads[at] = 0
            self._names[at] = self._numbered(names)
            for slot, name in zip(plan.values, names, strict=True):
                self._sources[slot] = name
        self._clock += len(plan.slots)
        for kind in plan.kinds.tolist():
            self._written[kind] += 1
        return WriteReport(plan.slots, plan.kinds, plan.similarities)

    def flush(self) -> None:
        """Bring all rows back to the memory, which is then as if it had been written itself."""
        slots = np.flatnonzero(self._touched != EMPTY)
        if not sum(self._written.values()):
            return
        at = torch.from_numpy(slots).to(self._keys.device)
        packed = [self._packed(some).cpu().numpy() for some in torch.split(at, 1024)]
        rows = Rows(
            slots=slots,
            keys=self._keys[at].cpu().numpy(),
            values=np.concatenate(packed),
            touched=self._touched[slots],
            sources=np.array([self._sources[slot].encode() for slot in slots.tolist()]),
            reads=self._reads[at].cpu().numpy(),
        )
        self.memory.adopt(rows, self._written)
        self._written = dict.fromkeys(self._written, 0)

    def _packed(self, slots: Tensor) -> Tensor:
        """(n, R, R, ceil(R / 8)) uint8, the values of slots (n,) as the memory packs them."""
        side = self.config.resolution
        is_full = self._values[slots].view(-1, side, side, side) > 0
        eights = pad(is_full, (0, -side % 8)).view(len(slots), side, side, -1, 8)
        bits = torch.tensor([128, 64, 32, 16, 8, 4, 2, 1], device=slots.device)
        return (eights * bits).sum(-1).to(torch.uint8)


def resident_on(device: str, memory: Memory) -> DeviceMemory | None:
    """The memory's copy on a GPU, if half of what is free there holds it; None elsewhere."""
    if torch.device(device).type != "cuda":
        return None
    free, _ = torch.cuda.mem_get_info(torch.device(device))
    fits = DeviceMemory.bytes_for(memory.config) <= free // 2
    return DeviceMemory(memory, device) if fits else None


def _fetched(*tensors: Tensor) -> list[NDArray[Any]]:
    """All as arrays: page-locked, from a GPU, so that the host waits for it once."""
    host = [one.to("cpu", non_blocking=one.is_cuda) for one in tensors]
    if tensors[0].is_cuda:
        torch.cuda.current_stream(tensors[0].device).synchronize()
    return [tensor.numpy() for tensor in host]


def _product(left: Tensor, right: Tensor) -> Tensor:
    """(B, n) left @ right.T in float32 proper, whatever the caller computes in."""
    with torch.autocast(left.device.type, enabled=False):
        return left @ right.T

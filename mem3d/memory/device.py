"""A memory's working copy on the device that trains: searched, compared and written there.

On a GPU a step of the whole network takes less time than its memory on the CPU, and both wait for
each other. The copy holds keys and values as tensors, 4 (C + R^3) bytes a slot, 180 KB at the
paper's sizes; one product finds all cosines of a batch, another all value similarities, and the
rules of `memstore` are applied to these (for writes, `memstore.plan_writes_from_products`). What
was written goes back to the memory with `flush`.

The arithmetic is not memstore's: cosines are float32 products, so that slots as near to the last
digits may change places.
"""

# B = batch, N = rows up to the last used slot, C = channels of a feature, R = voxels per side

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional
from torch.nn.functional import normalize

from mem3d.memory.host import HostMemory
from mem3d.memory.interface import Recalled, TrainingMemory, nothing_recalled
from mem3d.memory.second_look import SHORTLIST, best_fits
from memstore import (
    ArgumentError,
    FeatureError,
    Memory,
    MemoryConfig,
    Rows,
    WriteReport,
    plan_writes_from_products,
)

EMPTY = -1  # `touched` of an empty slot
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

    The memory itself is not to be written meanwhile, and is behind until `flush`.

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
            for part in torch.split(torch.from_numpy(slots), 256):
                grids = torch.from_numpy(memory.values(part.numpy())).to(device)
                self._values[part.to(device)] = grids.flatten(1).float()
            self._full = self._values.sum(1)
            self._reads[at] = torch.from_numpy(memory.reads).to(device)
            self._is_used[at] = True
            self._touched[slots] = memory.clock - memory.ages
            sources = memory.sources
            for slot, source in zip(slots.tolist(), sources, strict=True):
                self._sources[slot] = source
            self._names[at] = self._source_numbers(sources)

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

    def _source_numbers(self, sources: Sequence[str | None]) -> Tensor:
        """(n,) a number for each source, the same for the same; _NOBODY for None."""
        of = self._numbers
        numbers = [_NOBODY if s is None else of.setdefault(s, len(of)) for s in sources]
        return self._to_device(torch.tensor(numbers, dtype=torch.int64))

    def _to_device(self, host: Tensor) -> Tensor:
        """On the device; the host does not wait for what the device has yet to do."""
        return host.to(self._keys.device, non_blocking=True)

    def _units(self, features: Tensor) -> Tensor:
        return normalize(features.detach().float(), dim=1, eps=1e-30)

    def recall(
        self,
        features: Tensor,
        k: int,
        exclude: Sequence[str | None] | None = None,
        guess: Tensor | None = None,
    ) -> Recalled:
        """As `TrainingMemory.recall`."""
        rows = self._rows
        if not rows:
            return nothing_recalled(features, self.config.resolution)
        units = self._units(features)
        cosines = _product(units, self._keys[:rows])
        cosines.masked_fill_(~self._is_used[:rows], -torch.inf)
        if exclude is not None:
            sources = self._source_numbers(exclude)
            is_own = (sources[:, None] == self._names[:rows]) & (sources != _NOBODY)[:, None]
            cosines.masked_fill_(is_own, -torch.inf)
        most = k if guess is None else SHORTLIST
        best, slots = cosines.clamp(max=1).topk(min(most, rows), dim=1)
        is_near = (best > float(np.float32(self.config.beta))) & units.any(1, keepdim=True)
        if guess is not None:
            grids = self._values[slots].view(*slots.shape, *(self.config.resolution,) * 3)
            places = best_fits(grids, best, is_near.sum(1), guess, k)
            best, slots, is_near = (x.gather(1, places) for x in (best, slots, is_near))
        # One wait for the device.
        rows_host = torch.stack([best, is_near.float(), slots.float()])  # at most 2^24 slots
        best_host, near_host, slots_host = rows_host.cpu().numpy()
        if np.isnan(best_host).any():
            raise FeatureError(_NOT_FINITE)
        is_prior = near_host > 0
        width = max(1, int(is_prior.sum(1).max(initial=0)))
        slots, is_near = slots[:, :width], is_near[:, :width]
        self._reads.index_add_(0, slots.flatten(), is_near.flatten().long())
        priors = self._values[slots] * is_near[..., None]
        sides = (self.config.resolution,) * 3
        return Recalled(
            priors=priors.view(len(features), width, *sides).to(features.dtype),
            counts=is_near.sum(1),
            slots=np.where(is_prior, slots_host, EMPTY)[:, :width].astype(np.int64),
            cosines=np.where(is_prior, best_host, -np.inf)[:, :width].astype(np.float32),
        )

    def products(self, features: Tensor, grids: Tensor) -> Products:
        """Pairs (B, C) and (B, R, R, R) against every row, once for contrast and write."""
        if self._last is not None and self._last[0].data_ptr() == features.data_ptr():
            return self._last[1]
        rows, units = self._rows, self._units(features)
        cosines = _product(units, self._keys[:rows])
        cosines.masked_fill_(~self._is_used[:rows], -torch.inf)
        voxels = grids.flatten(1).float()
        similarities = self._similarities(voxels, self._values[:rows], self._full[:rows])
        products = Products(units, cosines, similarities, units.any(1))
        self._last = (features, products)
        return products

    def _similarities(self, voxels: Tensor, values: Tensor, full: Tensor) -> Tensor:
        """(B, n) float64: the counts are whole numbers, which any order of sums gives exactly."""
        common = _product(voxels, values).double()
        both = voxels.sum(1).double()[:, None] + full.double()
        if self.config.value_similarity == "mse":
            size = self.config.resolution**3
            return (size - (both - 2 * common)) / size
        return torch.where(both > 0, common / (both - common).clamp(min=1), 1.0)

    def contrast_keys(self, features: Tensor, grids: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """As `TrainingMemory.contrast_keys`."""
        products = self.products(features, grids)
        if not products.cosines.shape[1]:
            none = torch.zeros_like(products.units)
            return none, none, torch.zeros_like(products.is_alive)
        if self.config.delta is None:  # else similar to nothing
            raise ArgumentError("contrast: got a memory with delta None, want one with a delta")
        is_alike = products.similarities >= self.config.delta
        kinds = [
            products.cosines.masked_fill(other, -torch.inf).max(1)
            for other in (~is_alike, is_alike)
        ]
        valid = products.is_alive & kinds[0].values.isfinite() & kinds[1].values.isfinite()
        positive, negative = (self._keys[kind.indices] * valid[:, None] for kind in kinds)
        return positive, negative, valid

    def write(self, features: Tensor, grids: Tensor, sources: Sequence[str]) -> WriteReport:
        """As `TrainingMemory.write`."""
        products = self.products(features, grids)
        self._last = None
        voxels, units = grids.flatten(1).float(), products.units
        own_cosines, own_similarities, *rest = _on_host(
            _product(units, units),
            self._similarities(voxels, voxels, voxels.sum(1)),
            products.cosines,
            products.similarities,
            products.is_alive,
        )
        if not np.isfinite(own_cosines).all():
            raise FeatureError(_NOT_FINITE)
        cosines, similarities, is_alive = rest
        plan = plan_writes_from_products(
            cosines,
            similarities,
            own_cosines,
            own_similarities,
            is_alive,
            self._touched,
            self.config,
        )
        self._set_keys(plan.mixtures, units)
        self._set_values(plan.values, voxels, sources)
        self._touched[plan.slots] = self._clock + 1 + np.arange(len(plan.slots))  # the last counts
        self._clock += len(plan.slots)
        for kind in plan.kinds.tolist():
            self._written[kind] += 1
        return WriteReport(plan.slots, plan.kinds, plan.similarities)

    def _set_keys(self, mixtures: dict[int, NDArray[np.float64]], units: Tensor) -> None:
        """Mix each slot's key of its old one and a batch's (B, C)."""
        if not mixtures:
            return
        slots = self._to_device(torch.tensor([*mixtures]))
        weights = self._to_device(torch.from_numpy(np.array([*mixtures.values()], np.float32)))
        mixed = weights[:, :1] * self._keys[slots] + _product(weights[:, 1:], units.T)
        self._keys[slots] = normalize(mixed, dim=1)
        self._is_used[slots] = True

    def _set_values(self, values: dict[int, int], voxels: Tensor, sources: Sequence[str]) -> None:
        """Give slots the grid and source of a pair of a batch (B, R**3) each."""
        if not values:
            return
        slots, pairs = self._to_device(torch.tensor([[*values], [*values.values()]]))
        names = [sources[pair] for pair in values.values()]
        self._values[slots] = voxels[pairs]
        self._full[slots] = voxels[pairs].sum(1)
        self._reads[slots] = 0
        self._names[slots] = self._source_numbers(names)
        for slot, name in zip(values, names, strict=True):
            self._sources[slot] = name

    def flush(self) -> None:
        """Bring all rows back to the memory, which is then as if it had been written itself."""
        slots = np.flatnonzero(self._touched != EMPTY)
        if not sum(self._written.values()):
            return
        at = torch.from_numpy(slots).to(self._keys.device)
        side = self.config.resolution
        packed = [
            pack(self._values[part].view(-1, side, side, side)).cpu().numpy()
            for part in torch.split(at, 1024)
        ]
        rows = Rows(
            slots=slots,
            keys=self._keys[at].cpu().numpy(),
            values=np.concatenate(packed),
            touched=self._touched[slots],
            sources=np.array([self._sources[slot].encode() for slot in slots.tolist()]),
            reads=self._reads[at].cpu().numpy(),
        )
        self.memory.replace_rows(rows, self._written)
        self._written = dict.fromkeys(self._written, 0)


def pack(grids: Tensor) -> Tensor:
    """(n, R, R, ceil(R / 8)) uint8 of grids (n, R, R, R): `memstore.voxels.grids.pack` in torch."""
    eights = functional.pad(grids > 0, (0, -grids.shape[-1] % 8)).view(*grids.shape[:-1], -1, 8)
    bits = torch.tensor([128, 64, 32, 16, 8, 4, 2, 1], device=grids.device)
    return (eights * bits).sum(-1).to(torch.uint8)


def memory_on(device: str, memory: Memory) -> TrainingMemory:
    """A memory's copy on a GPU, if half of what is free there holds it; else the memory itself."""
    if torch.device(device).type == "cuda":
        free, _ = torch.cuda.mem_get_info(torch.device(device))
        if DeviceMemory.bytes_for(memory.config) <= free // 2:
            return DeviceMemory(memory, device)
    return HostMemory(memory)


def _on_host(*tensors: Tensor) -> list[NDArray[Any]]:
    """All as arrays: page-locked, from a GPU, so that the host waits for it once."""
    host = [tensor.to("cpu", non_blocking=tensor.is_cuda) for tensor in tensors]
    if tensors[0].is_cuda:
        torch.cuda.current_stream(tensors[0].device).synchronize()
    return [tensor.numpy() for tensor in host]


def _product(left: Tensor, right: Tensor) -> Tensor:
    """(B, n) left @ right.T in float32 proper, whatever the caller computes in."""
    with torch.autocast(left.device.type, enabled=False):
        return left @ right.T

"""Whether what is recalled is nearer than by chance, told by the memory's own keys alone.

Two questions, both answered from a sample of slots. How near do stored shapes come to each other? A
picture whose nearest shape is farther off than nearly all of these have one of another name looks
like nothing that is stored: noise, a photo with its background. And is the nearest shape of another
name of the same kind, more often than by chance? If not, as with an untrained network, the keys
tell nothing.

Neither can say that a recall is right: an object of a kind that is not stored mostly comes near
some other kind (docs/experiments/2026-11-29-photos.md has the figures). Kinds are named by sources;
where most name none, the second question is not asked.
"""

# n = slots in use, s = slots of the sample

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import comb
from weakref import WeakKeyDictionary

import numpy as np

from mem3d.data.meshes.transforms import shape_family
from mem3d.data.taxonomy import category_of
from memstore import Memory

SAMPLE = 128  # slots: 30 ms at 4,000 keys of 2,048 numbers
FEWEST = 30  # slots of a memory of which anything is said
RARE = 0.1  # share of the sample whose nearest shape of another name is farther off
AGREED = 0.05  # of one kind so many are recalled with this chance at most, if kinds were drawn
SURE = 3.0  # standard deviations over chance, from which on keys tell kinds apart


@dataclass(frozen=True)
class Chance:
    """What recall from a memory reaches by chance.

    Attributes:
        cosine: that all but RARE of the stored shapes have with the nearest of another name.
        same_kind: share of slots whose nearest one of another name is of their kind; None if
            sources name no kinds, or one alone.
        same_kind_by_chance: of two slots drawn at random.
        tells_kinds: whether the first is more than the second; True if unknown.
        shares: of the slots, by kind; empty if sources name none.
        least: as `cosine`, that all of the sample have.
    """

    cosine: float
    same_kind: float | None = None
    same_kind_by_chance: float | None = None
    tells_kinds: bool = True
    shares: Mapping[str, float] = field(default_factory=dict)
    least: float = -1.0

    def agree(self, sources: Sequence[str]) -> bool:
        """Whether shapes are of one kind oftener than kinds drawn at random would be."""
        kinds = Counter(category_of(source) or "" for source in sources)
        return any(
            kind in self.shares
            and len(self.shares) * _at_least(count, len(sources), self.shares[kind]) <= AGREED
            for kind, count in kinds.items()
        )

    def doubts(self, cosine: float, sources: Sequence[str] = ()) -> tuple[str, ...]:
        """Why a recall may be worth nothing; empty if nothing speaks against it.

        Args:
            cosine: of the most similar shape.
            sources: of all that was recalled; where they agree on a kind, a cosine is low only
                below the least.
        """
        if not self.tells_kinds:
            return (
                "this memory's keys do not tell kinds apart: the shape nearest to one of its own "
                f"is of the same kind in {self.same_kind:.0%} of cases, by chance in "
                f"{self.same_kind_by_chance:.0%}",
            )
        if cosine < self.least or (cosine < self.cosine and not self.agree(sources)):
            return (
                f"nothing alike is remembered: the nearest is at a cosine of {cosine:.2f}, and "
                f"{1 - RARE:.0%} of the stored shapes have one at {self.cosine:.2f} or more",
            )
        return ()


def _at_least(count: int, draws: int, share: float) -> float:
    """Chance of so many in that many draws."""
    return sum(
        comb(draws, n) * share**n * (1 - share) ** (draws - n) for n in range(count, draws + 1)
    )


def chance_of(memory: Memory) -> Chance | None:
    """Measure a memory, once for each state of it.

    Returns:
        None of a memory with less than FEWEST slots, or with shapes of one name alone.
    """
    slots = memory.slots
    if len(slots) < FEWEST:
        return None
    some = slots[:: len(slots) // FEWEST]  # `replace_keys` does not advance the clock
    stamp = (memory.clock, len(slots), memory.keys(some).tobytes())
    if memory not in _MEASURED or _MEASURED[memory][0] != stamp:
        _MEASURED[memory] = (stamp, _measure(memory))
    return _MEASURED[memory][1]


_MEASURED: WeakKeyDictionary[Memory, tuple[object, Chance | None]] = WeakKeyDictionary()


def _measure(memory: Memory) -> Chance | None:
    """As `chance_of`."""
    slots = memory.slots
    keys_nC, sources = memory.keys(slots), memory.sources_of(slots)
    names = np.array([shape_family(source) for source in sources])
    kinds = np.array([category_of(source) or "" for source in sources])
    sample = np.random.default_rng(0).permutation(len(slots))[:SAMPLE]
    is_other_sn = names[sample][:, None] != names  # a shape's own views and variants prove nothing
    if not is_other_sn.any(1).all():
        return None
    cosines_sn = np.where(is_other_sn, keys_nC[sample] @ keys_nC.T, -np.inf)
    nearest_s = cosines_sn.max(1)
    cosine, least = float(np.quantile(nearest_s, RARE)), float(nearest_s.min())
    if 2 * np.count_nonzero(kinds) < len(kinds):
        return Chance(cosine, least=least)
    is_same_kind_sn = kinds[sample][:, None] == kinds
    same = float(is_same_kind_sn[np.arange(len(sample)), cosines_sn.argmax(1)].mean())
    by_chance = float(is_same_kind_sn[is_other_sn].mean())
    if by_chance == 1:
        return Chance(cosine, least=least)
    deviation = (by_chance * (1 - by_chance) / len(sample)) ** 0.5
    shares = {kind: count / len(kinds) for kind, count in Counter(kinds.tolist()).items() if kind}
    is_sure = same > by_chance + SURE * deviation
    return Chance(cosine, same, by_chance, is_sure, shares, least)

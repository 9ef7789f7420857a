"""Balls: keys around centers, of which those too far from a query need not be looked at.

The angle between directions is a metric. So a key at an angle r from a center that is at an angle t
from a query is at t - r from the query at least. Once k slots are known whose cosines are so high
that no key at that angle can reach them, whole balls are passed over, and of others all but the
keys that are farthest from the center. What is left is ranked as ever: no answer is another than a
scan's.
"""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from memstore.search import cosine
from memstore.search.allowed import Allowed

# No answer depends on these.
SPLITS = 8  # directions of which a list's keys may be the mixture, and
LONELY = 2  # that are tried in vain before no more are
FEWEST = 8  # keys that are worth a ball
LARGEST = 2**22  # numbers in the keys of a list that are looked at at once: 16 MB
SEEDS = 8  # balls, at most, whose keys tell how near the k-th best is
MANY = 256  # part of the keys that may lie outside of balls, before they are put in
AT_ONCE = 2**17  # numbers in keys scored at a time: they, and a copy, stay in cache
ASSIGNED = 1024  # keys put in balls at a time

# These belong to the proof.
OFF = 1.2e-5  # by which a cosine is above that of the angle at most: see cosine.error_bound
BLUR = 1e-6  # radians: more than the rounding of angles and of the places below
WIDTH = 4.0  # of a ball in `_Shells.places`: more than pi, the largest angle, and BLUR


class _Shells(NamedTuple):
    """The slots of n balls, ball after ball, in each the farthest from its center first."""

    slots: NDArray[np.int64]  # (m,)
    places: NDArray[np.float64]  # (m,) WIDTH * ball - angle, ascending
    starts: NDArray[np.int64]  # (n,) where a ball's slots begin
    sizes: NDArray[np.int64]  # (n,) of balls
    radii: NDArray[np.float64]  # (n,) angles that none of their keys is beyond


class Balls:
    """Keys of slots [0, rows) in balls, but for those that have changed since."""

    def __init__(self, keys: NDArray[np.float32], lists: Iterable[NDArray[np.int64]]) -> None:
        """Make balls of the keys (rows, C), unit vectors or zeros.

        Args:
            keys: (rows, C).
            lists: slots (n,) of keys that are alike; a slot may be in several of them, or in none.
        """
        self._error = cosine.error_bound(keys.shape[1])
        self._is_outside = np.ones(len(keys), np.bool_)
        step = max(FEWEST, LARGEST // keys.shape[1])
        centers, slots, balls, angles = [np.empty((0, keys.shape[1]), np.float32)], [], [], []
        count = 0
        for each in lists:
            some = np.unique(each[self._is_outside[each]])
            self._is_outside[some] = False
            for start in range(0, len(some), step):
                part = some[start : start + step]
                near = keys[part]
                centers.append(_centers(near))
                ball, scores = _nearest(near, centers[-1])
                slots.append(part)
                balls.append(ball + count)
                angles.append(_largest_angles(scores, self._error))
                count += len(centers[-1])
        self._centers = np.concatenate(centers)
        self._shells = _shells(slots, balls, angles, count)

    @property
    def nbytes(self) -> int:
        """Bytes of RAM."""
        return self._centers.nbytes + self._is_outside.nbytes + sum(a.nbytes for a in self._shells)

    @property
    def wants_more(self) -> bool:
        """Whether so many keys have changed that they are to be put in balls: see `refilled`."""
        return int(np.count_nonzero(self._is_outside)) * MANY > len(self._is_outside)

    def forget(self, slots: NDArray[np.int64]) -> None:
        """Take note that keys of slots (n,), new ones among them, are about to change."""
        self._grow(int(slots.max(initial=-1)) + 1)
        self._is_outside[slots] = True

    def refilled(self, keys: NDArray[np.float32]) -> "Balls":
        """The same centers, and all of the keys (rows, C) in balls."""
        self._grow(len(keys))
        if not len(self._centers):
            return self
        shells, outside = self._shells, np.flatnonzero(self._is_outside)
        is_kept = ~self._is_outside[shells.slots]
        numbers = np.repeat(np.arange(len(shells.sizes)), shells.sizes)
        slots, balls = [shells.slots[is_kept]], [numbers[is_kept]]
        angles = [WIDTH * balls[0] - shells.places[is_kept]]
        for start in range(0, len(outside), ASSIGNED):
            some = outside[start : start + ASSIGNED]
            ball, scores = _nearest(keys[some], self._centers)
            slots.append(some)
            balls.append(ball)
            angles.append(_largest_angles(scores, self._error))
        others = Balls.__new__(Balls)
        others._error, others._centers = self._error, self._centers
        others._is_outside = np.zeros(len(keys), np.bool_)
        others._shells = _shells(slots, balls, angles, len(shells.sizes))
        return others

    def search(
        self,
        queries: NDArray[np.float32],
        keys: NDArray[np.float32],
        k: int,
        allowed: Allowed,
        above: float,
        few: int,
    ) -> list[tuple[NDArray[np.int64], NDArray[np.float32]] | None]:
        """Slots (n,) and cosines (n,), n <= k, best first, of each query; as a scan has them.

        Args:
            queries: (B, C) unit vectors.
            keys: (rows, C) of now.
            k: >= 1.
            allowed: slots that may be found.
            above: slots whose cosine is not above it may be left out.
            few: None for a query of which more slots would have to be looked at.
        """
        self._grow(len(keys))
        outside = np.flatnonzero(self._is_outside)
        products = cosine.scores(queries, self._centers)
        others = cosine.scores(queries, keys[outside]) if len(outside) <= few else None
        answers: list[tuple[NDArray[np.int64], NDArray[np.float32]] | None] = []
        for b, query in enumerate(queries):
            if others is None:
                answers.append(None)
                continue
            mine = allowed.part(np.array([b]))
            passes = mine.passes(outside[None])[0]
            slots = _Scored(query, keys, outside[passes], others[passes, b])
            is_answered = self._gather(slots, products[:, b], k, mine, above, few)
            answers.append(slots.best(k, above) if is_answered else None)
        return answers

    def _gather(
        self,
        slots: "_Scored",
        products: NDArray[np.float32],
        k: int,
        allowed: Allowed,
        above: float,
        few: int,
    ) -> bool:
        """Add all slots of balls that may be among the k best; False if they are not few.

        Args:
            slots: of a query, none of which is in a ball.
            products: (n,) of the query and the centers.
            k: >= 1.
            allowed: slots that the query may find.
            above: a slot whose cosine is not above it may be left out.
            few: slots.
        """
        shells = self._shells
        nearest = np.argsort(-products)[:SEEDS]
        seeds = 0
        while seeds < len(nearest) and (not seeds or len(slots.scores) < k):
            ball = nearest[seeds : seeds + 1]
            slots.add(self._passing(ball, shells.sizes[ball], allowed))
            seeds += 1
        least = above
        if len(slots.scores) >= k:  # k slots have a cosine that is no lower
            kth = float(np.partition(slots.scores, -k)[-k])
            least = max(above, kth - self._error)
        reach = np.arccos(np.clip(least - OFF, -1.0, 1.0)) + BLUR
        # Keys are passed over that are nearer to their center than that.
        inner = (_smallest_angles(products, self._error) - reach).clip(0)
        inner[nearest[:seeds]] = np.inf  # all of them are there
        balls = np.flatnonzero(inner <= shells.radii)
        stops = shells.places.searchsorted(WIDTH * balls - inner[balls], side="right")
        counts = stops - shells.starts[balls]
        if len(slots.scores) + counts.sum() > few:
            return False
        slots.add(self._passing(balls, counts, allowed))
        return True

    def _passing(
        self, balls: NDArray[np.int64], counts: NDArray[np.int64], allowed: Allowed
    ) -> NDArray[np.int64]:
        """The first slots of some balls (n,) that have not changed, and that may be found."""
        starts = self._shells.starts[balls]
        pairs = zip(starts.tolist(), (starts + counts).tolist(), strict=True)
        parts = [self._shells.slots[start:stop] for start, stop in pairs]
        slots = np.concatenate([np.empty(0, np.int64), *parts])
        slots = slots[~self._is_outside[slots]]
        passing: NDArray[np.int64] = slots[allowed.passes(slots[None])[0]]
        return passing

    def _grow(self, rows: int) -> None:
        """Make sure that slots [0, rows) are known; new ones are in no ball."""
        if (missing := rows - len(self._is_outside)) > 0:
            self._is_outside = np.append(self._is_outside, np.ones(missing, np.bool_))


class _Scored:
    """Slots of a query, and their scores."""

    def __init__(
        self,
        query: NDArray[np.float32],
        keys: NDArray[np.float32],
        slots: NDArray[np.int64],
        scores: NDArray[np.float32],
    ) -> None:
        self._query, self._keys, self.slots, self.scores = query, keys, slots, scores

    def add(self, slots: NDArray[np.int64]) -> None:
        """Score more slots (n,)."""
        step = max(1, AT_ONCE // len(self._query))
        parts = [slots[start : start + step] for start in range(0, len(slots), step)]
        scores = [cosine.scores_of(self._query, self._keys.take(part, axis=0)) for part in parts]
        self.slots = np.concatenate([self.slots, slots])
        self.scores = np.concatenate([self.scores, *scores])

    def best(self, k: int, above: float) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """As `cosine.best`."""
        error = cosine.error_bound(len(self._query))
        near = self.slots[cosine.shortlist(self.scores, k, error, above)]
        return cosine.best(self._query, self._keys, np.sort(near), k, above)


def _centers(keys: NDArray[np.float32]) -> NDArray[np.float32]:
    """(n, C) unit vectors, about the directions of which keys (m, C), m >= 1, are a mixture.

    The mean is one. The key that is farthest from all centers tells another, if more keys are
    nearer to it than to any of them: these have a mean of their own.
    """
    centers = [_mean(keys)]
    nearest = cosine.scores_of(centers[0], keys)
    is_tried, lonely = np.zeros(len(keys), np.bool_), 0
    while len(centers) < SPLITS and lonely < LONELY and not is_tried.all():
        far = int(np.where(is_tried, np.inf, nearest).argmin())
        is_tried[far] = True
        around = cosine.scores_of(keys[far], keys) > nearest
        if np.count_nonzero(around) < FEWEST:
            lonely += 1
            continue
        centers.append(_mean(keys[around]))
        nearest = np.maximum(nearest, cosine.scores_of(centers[-1], keys))
        lonely = 0
    return np.array(centers)


def _mean(keys: NDArray[np.float32]) -> NDArray[np.float32]:
    """(C,) the direction of the mean of keys (n, C); another one where that is zero."""
    total = keys.sum(axis=0, dtype=np.float64)
    if not np.linalg.norm(total) > 1e-3:
        total[0] += 1.0
    mean: NDArray[np.float32] = cosine.unit(total[None])[0]
    return mean


def _nearest(
    keys: NDArray[np.float32], centers: NDArray[np.float32]
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """(n,) which center (m, C) has the highest product with keys (n, C), and (n,) that product."""
    scores = cosine.scores(centers, keys)
    ball = scores.argmax(axis=1)
    return ball, np.take_along_axis(scores, ball[:, None], axis=1)[:, 0]


def _largest_angles(scores: NDArray[np.float32], error: float) -> NDArray[np.float64]:
    """(n,) radians that the angle is not above."""
    return np.arccos(np.clip(scores.astype(np.float64) - error, -1.0, 1.0))


def _smallest_angles(scores: NDArray[np.float32], error: float) -> NDArray[np.float64]:
    """(n,) radians that the angle is not below."""
    return np.arccos(np.clip(scores.astype(np.float64) + error, -1.0, 1.0))


def _shells(
    slots: list[NDArray[np.int64]],
    balls: list[NDArray[np.int64]],
    angles: list[NDArray[np.float64]],
    count: int,
) -> _Shells:
    """Put slots in order, told of their balls [0, count) and angles in parts."""
    nothing = np.empty(0, np.int64)
    all_balls = np.concatenate([nothing, *balls])
    places = WIDTH * all_balls - np.concatenate([np.empty(0), *angles])
    order = places.argsort()
    places, sizes = places[order], np.bincount(all_balls, minlength=count)
    starts = sizes.cumsum() - sizes
    radii = np.full(count, -np.inf)
    is_full = sizes > 0
    radii[is_full] = WIDTH * np.flatnonzero(is_full) - places[starts[is_full]]
    return _Shells(np.concatenate([nothing, *slots])[order], places, starts, sizes, radii)

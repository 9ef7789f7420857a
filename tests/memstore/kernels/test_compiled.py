"""The compiled loops give what the definitions in cosine.py give, to the last bit, and refuse
arrays that are too short."""

import subprocess
import sys

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from memstore.kernels import compiled
from memstore.search import cosine
from memstore.search.cosine import unit

if not compiled.is_there():
    pytest.skip("no compiled loops: built without a C compiler", allow_module_level=True)

ALL = -2.0  # a threshold that every cosine is above
CHANNELS = [*range(1, 20), 23, 24, 31, 32, 33, 40, 47, 48, 49, 63, 64, 65, 70]
ROWS = [1, 2, 5, 31, 32, 33, 64, 65, 200]  # what is compared at once are 32
BATCHES = [1, 2, 31, 32, 33, 256]
COUNTS = [1, 8, 40]  # slots asked for


def random_vectors(rng, count, channels):
    return unit(rng.standard_normal((count, channels)))


def duplicates(rng, rows, channels):
    """Each key in several slots."""
    return random_vectors(rng, 1 + rows // 4, channels)[rng.integers(1 + rows // 4, size=rows)]


def all_equal(rng, rows, channels):
    return np.tile(random_vectors(rng, 1, channels), (rows, 1))


def near_each_other(rng, rows, channels):
    """So near that float32 scores cannot rank them."""
    return unit(1 + 1e-6 * rng.standard_normal((rows, channels)))


KINDS = {
    "random": random_vectors,
    "duplicates": duplicates,
    "all equal": all_equal,
    "near each other": near_each_other,
}


def ascending(query, keys):
    """The same keys, the later the nearer to the query."""
    return keys[cosine.cosines(query, keys).argsort(kind="stable")]


def open_slots(rng, rows):
    """(rows,) masks: of some, of all, and of none."""
    return [rng.random(rows) < 0.5, np.ones(rows, bool), np.zeros(rows, bool)]


def oracle(query, keys, mask, k, above):
    """Slots (k,) and cosines (k,) by definition; -1 and -inf past the last."""
    slots, cosines = np.full(k, -1), np.full(k, -np.inf, np.float32)
    hits = cosine.best(query, keys, np.flatnonzero(mask), k, above)
    count = np.count_nonzero(hits[1] > np.float32(above))
    slots[:count], cosines[:count] = hits[0][:count], hits[1][:count]
    return slots, cosines


def scores_of(rng, queries, keys, mask):
    """(rows, B) scores as far off as they may be; -inf where the mask is False."""
    error = 0.99 * cosine.error_bound(keys.shape[1])
    scores = true_cosines(queries, keys).T
    scores = (scores + error * rng.choice([-1, 0, 1], scores.shape)).astype(np.float32)
    scores[~mask] = -np.inf
    return np.ascontiguousarray(scores)


def bounds_of(rng, queries, keys, mask, slack):
    """(B, rows) bounds, some of them the cosines themselves; -inf where the mask is False."""
    cosines = true_cosines(queries, keys)
    above = slack * rng.random(cosines.shape) * rng.integers(2, size=cosines.shape)
    bounds = (cosines + above).astype(np.float32)
    low = bounds < cosines
    bounds[low] = np.nextafter(bounds[low], np.float32(np.inf))
    assert (bounds >= cosines).all()
    bounds[:, ~mask] = -np.inf
    return bounds


def true_cosines(queries, keys):
    """(B, rows)."""
    return cosine.paired_cosines(queries, np.broadcast_to(keys, (len(queries), *keys.shape)))


def assert_ranked(ranked, queries, keys, mask, k, above, few):
    """Queries that were answered have their k best; returns which were left in doubt (B,)."""
    assert (ranked.outcomes >= compiled.IN_DOUBT).all()
    which = np.flatnonzero((ranked.outcomes >= 0) & (ranked.outcomes <= few))
    for b in (*which[:17], *which[max(17, len(which) - 17) :]):
        slots, cosines = oracle(queries[b], keys, mask, k, above)
        assert_array_equal(ranked.slots[b], slots)
        assert_array_equal(ranked.cosines[b], cosines, strict=True)
    return ranked.outcomes == compiled.IN_DOUBT


def assert_rare(doubts, kind):
    """Few random queries hang on the order of a sum; where all keys do, numpy has many."""
    assert kind != "random" or np.mean(doubts) < 0.1


@pytest.mark.parametrize("kind", KINDS)
def test_one_query(kind):
    rng, doubts = np.random.default_rng(1), []
    for channels in range(1, 71):
        for rows in ROWS:
            query = random_vectors(rng, 1, channels)[0]
            keys = KINDS[kind](rng, rows, channels)
            if rows % 2:
                keys = ascending(query, keys)
            for mask in (None, open_slots(rng, rows)[channels % 3]):
                k, error = COUNTS[(channels + rows) % 3], cosine.error_bound(channels)
                hits = compiled.search_one(query, keys, mask, k, error, ALL)
                doubts.append(hits is None)
                if hits is not None:
                    may = np.ones(rows, bool) if mask is None else mask
                    slots, cosines = oracle(query, keys, may, k, ALL)
                    assert_array_equal(hits[0], slots[None], strict=True)
                    assert_array_equal(hits[1], cosines[None], strict=True)
    assert_rare(doubts, kind)


@pytest.mark.parametrize("kind", KINDS)
def test_a_batch_by_scores(kind):
    rng, doubts = np.random.default_rng(2), []
    for i, (channels, batch) in enumerate(zip(CHANNELS, 6 * BATCHES, strict=False)):
        for j, k in enumerate(COUNTS):
            rows = ROWS[(i + 4 * j) % len(ROWS)]
            queries = random_vectors(rng, batch, channels)
            keys = KINDS[kind](rng, rows, channels)
            if i % 2:
                keys = ascending(queries[0], keys)
            mask = open_slots(rng, rows)[(i + j) % 3]
            scores = scores_of(rng, queries, keys, mask)
            error = cosine.error_bound(channels)
            ranked = compiled.rank_scores(queries, keys, scores, k, error, ALL)
            doubts.extend(assert_ranked(ranked, queries, keys, mask, k, ALL, rows))
    assert_rare(doubts, kind)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("slack", [0, 0.02, 1])
def test_a_batch_by_bounds(kind, slack):
    rng, doubts = np.random.default_rng(3), []
    for i, (channels, batch) in enumerate(zip(CHANNELS, 6 * BATCHES, strict=False)):
        k, rows = COUNTS[i % 3], ROWS[(i // 3 + i) % len(ROWS)]
        queries = random_vectors(rng, batch, channels)
        keys = KINDS[kind](rng, rows, channels)
        if i % 2:
            keys = ascending(queries[0], keys)
        mask = open_slots(rng, rows)[(i // 2) % 3]
        bounds = bounds_of(rng, queries, keys, mask, slack)
        for few in (rows, max(rows // 8, 5)):
            ranked = compiled.rank_bounds(queries, keys, bounds, few, k, ALL)
            doubts.extend(assert_ranked(ranked, queries, keys, mask, k, ALL, few))
            if few == rows:
                assert (ranked.outcomes <= rows).all()
    assert_rare(doubts, kind)


@pytest.mark.parametrize("kind", KINDS)
def test_a_batch_by_bounds_that_come_closer(kind):
    """The bounds allow for all of what queries lost, of which their products leave little."""
    rng, doubts = np.random.default_rng(11), []
    for i, (channels, batch) in enumerate(zip(CHANNELS, 6 * BATCHES, strict=False)):
        k, rows = COUNTS[i % 3], ROWS[(i // 3 + i) % len(ROWS)]
        queries = random_vectors(rng, batch, channels)
        keys = KINDS[kind](rng, rows, channels)
        mask = open_slots(rng, rows)[(i // 2) % 3]
        bounds = bounds_of(rng, queries, keys, mask, 0.02) + np.float32(1e-6)
        integers = rng.integers(-127, 128, (rows, channels), np.int8)
        scales = rng.uniform(0, 1e-3, rows).astype(np.float32)
        remainders = 0.1 * random_vectors(rng, batch, channels)
        spans = 1.01 * scales * np.linalg.norm(integers.astype(float), axis=1)
        norms = np.ascontiguousarray(np.tile(spans.astype(np.float32), (3, 1)).T)
        lost = np.full(batch, 0.11, np.float32)
        allowance = lost[:, None] * spans - remainders @ integers.T * scales
        bounds = (bounds + allowance).astype(np.float32)
        rounded = compiled.Rounded(integers, scales, norms, remainders, lost, 1e-6)
        for few in (rows, max(rows // 8, 5)):
            ranked = compiled.rank_bounds(queries, keys, bounds, few, k, ALL, rounded)
            doubts.extend(assert_ranked(ranked, queries, keys, mask, k, ALL, few))
    assert_rare(doubts, kind)


def test_thresholds_that_cosines_hit_exactly():
    """A slot whose cosine is the threshold is not found, one that is the next float above is."""
    rng, doubts = np.random.default_rng(4), []
    for channels in CHANNELS[1:]:
        queries, keys = random_vectors(rng, 3, channels), duplicates(rng, 65, channels)
        mask, error = np.ones(65, bool), cosine.error_bound(channels)
        scores = scores_of(rng, queries, keys, mask)
        bounds = bounds_of(rng, queries, keys, mask, 0.02)
        hit = np.sort(cosine.cosines(queries[0], keys))[-4]
        for above in (float(hit), float(np.nextafter(hit, np.float32(-2))), 1.0, 0.0, -1.0):
            for k in COUNTS:
                ranked = compiled.rank_scores(queries, keys, scores, k, error, above)
                doubts.extend(assert_ranked(ranked, queries, keys, mask, k, above, 65))
                ranked = compiled.rank_bounds(queries, keys, bounds, 65, k, above)
                doubts.extend(assert_ranked(ranked, queries, keys, mask, k, above, 65))
                hits = compiled.search_one(queries[0], keys, mask, k, error, above)
                doubts.append(hits is None)
                if hits is not None:
                    slots, cosines = oracle(queries[0], keys, mask, k, above)
                    assert_array_equal(hits[0][0], slots)
                    assert_array_equal(hits[1][0], cosines)
    assert np.mean(doubts) < 0.1


def test_ties_go_to_the_lowest_slot():
    keys = np.tile(np.float32([[0.6, 0.8], [0.8, 0.6]]), (40, 1))
    query = np.float32([[0.28, 0.96]])
    lowest = [*range(0, 20, 2)]
    error = cosine.error_bound(2)
    one = compiled.search_one(query[0], keys, None, 10, error, ALL)
    scores = np.repeat(cosine.scores(query, keys), 33, axis=1)
    many = compiled.rank_scores(np.repeat(query, 33, axis=0), keys, scores, 10, error, ALL)
    bounds = np.ones((1, 80), np.float32)
    by_bounds = compiled.rank_bounds(query, keys, bounds, 80, 10, ALL)
    assert one[0].tolist() == by_bounds.slots.tolist() == [lowest]
    assert many.slots.tolist() == 33 * [lowest]


def test_more_than_few_slots_are_not_ranked():
    """All bounds are so high that every slot would have to be."""
    rng = np.random.default_rng(5)
    queries, keys = random_vectors(rng, 3, 16), random_vectors(rng, 500, 16)
    bounds = np.full((3, 500), 1, np.float32)
    bounds[1] = true_cosines(queries[1:2], keys)[0]
    ranked = compiled.rank_bounds(queries, keys, bounds, 60, 8, ALL)
    assert ranked.outcomes[0] > 60 < ranked.outcomes[2]
    assert 0 <= ranked.outcomes[1] <= 60
    assert_array_equal(ranked.slots[1], oracle(queries[1], keys, np.ones(500, bool), 8, ALL)[0])


def test_nothing_is_found_where_all_is_masked():
    rng = np.random.default_rng(6)
    queries, keys = random_vectors(rng, 3, 16), random_vectors(rng, 70, 16)
    nothing = np.full((3, 70), -np.inf, np.float32)
    error = cosine.error_bound(16)
    for ranked in (
        compiled.rank_scores(queries, keys, np.ascontiguousarray(nothing.T), 8, error, ALL),
        compiled.rank_bounds(queries, keys, nothing, 70, 8, ALL),
    ):
        assert (ranked.slots == -1).all() and (ranked.cosines == -np.inf).all()
        assert ranked.outcomes.tolist() == [0, 0, 0]


def test_a_cosine_whose_last_bit_is_in_doubt_is_left_to_numpy():
    """Zero as a sum that cancels is 0, or a rounding error, by the order."""
    query, keys = unit(np.float32([[1, 1, 0]]))[0], unit(np.float32([[1, -1, 0]]))
    assert compiled.search_one(query, keys, None, 1, cosine.error_bound(3), ALL) is None
    ranked = compiled.rank_bounds(query[None], keys, np.ones((1, 1), np.float32), 1, 1, ALL)
    assert ranked.outcomes.tolist() == [compiled.IN_DOUBT]


@pytest.mark.parametrize("channels", [1, 7, 16, 33, 70, 1000])
def test_units_are_the_definition_s(channels):
    rng = np.random.default_rng(7)
    rows = rng.standard_normal((300, channels)).astype(np.float32)
    units, are_sure = compiled.units(rows, *cosine._PLAIN)
    are_sure = np.ones(300, bool) if are_sure is None else are_sure
    assert_array_equal(units[are_sure], unit(rows)[are_sure], strict=True)
    assert are_sure.sum() > 270
    assert_array_equal(cosine.quick_unit(rows), unit(rows), strict=True)  # those in doubt as well
    rows[3], rows[5] = 0, np.nan
    assert not compiled.units(rows, *cosine._PLAIN)[1][[3, 5]].any()
    assert cosine.quick_unit(rows) is None
    assert compiled.units(np.asfortranarray(rows), *cosine._PLAIN) is None or channels == 1


@pytest.mark.parametrize("channels", [1, 7, 16, 33, 70, 1000])
def test_products_are_as_near_as_cosines_need(channels):
    rng = np.random.default_rng(8)
    for rows in (1, 3, 4, 33):
        query, keys = random_vectors(rng, 1, channels)[0], random_vectors(rng, rows, channels)
        exact = keys.astype(float) @ query.astype(float)
        wide = compiled.products(keys, query, are_wide=True)
        assert_array_equal(np.abs(wide - exact) <= 2.0**-24 * np.abs(exact) + 1e-13, True)
        narrow = compiled.products(keys, query)
        assert_array_equal(np.abs(narrow - exact) <= cosine.rounding(channels) + 1e-7, True)


@pytest.mark.parametrize("channels", [1, 7, 16, 33, 64, 70, 1000])
def test_products_in_halves_are_sums_of_few_terms(channels):
    rng = np.random.default_rng(9)
    for rows in (1, 3, 33):
        query, keys = random_vectors(rng, 1, channels)[0], random_vectors(rng, rows, channels)
        halves = keys.astype(np.float16)
        products = compiled.half_products(halves, query)
        if products is None:
            pytest.skip("this processor turns no float16 into float32")
        exact = halves.astype(float) @ query.astype(float)
        terms = channels // compiled.AT_ONCE + compiled.AFTER
        assert_array_equal(np.abs(products - exact) <= cosine.rounding(terms), True)
    assert compiled.half_products(np.tile(halves, 2)[:, ::2], query) is None


@pytest.mark.parametrize("batch", [2, 15, 32, 33])
@pytest.mark.parametrize("rows", [1, 15, 16, 17, 40])
def test_bounds_of_products_are_turned(rows, batch):
    rng = np.random.default_rng(11)
    products = rng.integers(-(2**31), 2**31, (rows, batch), np.int32)
    keys, queries = rng.random(rows, np.float32), rng.random(batch, np.float32)
    sums, bounds = rng.random((rows, batch), np.float32), np.full((batch, rows + 5), -1, np.float32)
    assert compiled.turn_bounds(products, keys, queries, sums, 3, bounds)
    expected = products.astype(float) * keys[:, None] * queries + sums
    np.testing.assert_allclose(bounds[:, 3:-2], expected.T, rtol=1e-6)
    assert (bounds[:, :3] == -1).all() and (bounds[:, -2:] == -1).all()
    with pytest.raises(ValueError, match="past the last"):
        compiled.turn_bounds(products, keys, queries, sums, 6, bounds)


def test_slots_are_counted_as_often_as_named():
    counts, slots = np.zeros(5, np.int64), np.array([[4, 0, 4], [4, 1, 0]])
    assert compiled.count_slots(counts, slots)
    assert counts.tolist() == [2, 1, 0, 0, 3]
    assert not compiled.count_slots(counts, slots.T)
    for none in (5, -1):
        with pytest.raises(IndexError, match="none"):
            compiled.count_slots(counts, np.array([0, none]))
    assert counts.tolist() == [2, 1, 0, 0, 3]


@pytest.mark.parametrize("resolution", [8, 16, 24, 32])
def test_bits_are_numpy_s(resolution):
    rng = np.random.default_rng(resolution)
    packed = rng.integers(256, size=(9, resolution, resolution, resolution // 8), dtype=np.uint8)
    slots = np.array([[8, -1, 0], [3, 3, -1]])
    grids = np.unpackbits(packed, axis=-1).astype(bool)[slots]
    grids[slots < 0] = False
    assert_array_equal(compiled.unpack_rows(packed, slots, resolution), grids, strict=True)
    assert compiled.unpack_rows(packed, slots[:, :0], resolution).size == 0
    assert compiled.unpack_rows(packed, slots.T, resolution) is None
    assert compiled.unpack_rows(packed[:, ::-1], slots, resolution) is None
    for past in (9, 2**62):
        with pytest.raises(IndexError, match="past the last"):
            compiled.unpack_rows(packed, np.array([0, past]), resolution)


def test_bits_of_any_number_of_bytes():
    packed = np.random.default_rng(12).integers(256, size=(3, 21), dtype=np.uint8)
    bits = np.empty((2, 168), bool)
    compiled._loops.unpack_rows(packed, np.array([2, 0]), 21, bits)
    assert_array_equal(bits, np.unpackbits(packed[[2, 0]], axis=1).astype(bool))


@pytest.mark.parametrize("shape", [(8,), (3, 8), (5, 24), (2, 16, 16, 16), (7, 32, 32, 32)])
def test_packed_bits_are_numpy_s(shape):
    bits = np.random.default_rng(10).random(shape) < 0.4
    packed = compiled.pack_bits(bits)
    assert_array_equal(packed, np.packbits(bits, axis=-1))
    assert compiled.pack_bits(bits[..., :7]) is None
    assert compiled.pack_bits(np.full(8, 2, np.uint8).view(bool)) is None  # numpy's to answer


def test_bits_of_other_resolutions_are_numpy_s_to_unpack():
    packed = np.zeros((2, 12, 12, 2), np.uint8)
    assert compiled.unpack_rows(packed, np.array([0]), 12) is None


def test_arrays_in_pieces_are_numpy_s_to_answer():
    rng = np.random.default_rng(9)
    queries, keys = random_vectors(rng, 4, 16), random_vectors(rng, 40, 16)
    scores, error = cosine.scores(queries, keys), cosine.error_bound(16)
    bounds = np.ones((4, 40), np.float32)
    assert compiled.search_one(queries[0], keys[::2], None, 1, error, ALL) is None
    assert compiled.rank_scores(queries, keys, scores[:, ::2], 1, error, ALL) is None
    assert compiled.rank_scores(queries[:, ::-1], keys, scores, 1, error, ALL) is None
    assert compiled.rank_bounds(queries, np.asfortranarray(keys), bounds, 40, 1, ALL) is None
    assert compiled.search_one(queries[0], keys[:0], None, 1, error, ALL) is None
    assert compiled.products(keys[:, ::2], queries[0, ::2]) is None


def test_without_compiled_loops_numpy_is_to_answer(monkeypatch):
    monkeypatch.setattr(compiled, "_loops", None)
    keys, slots = np.ones((2, 1), np.float32), np.zeros(1, np.int64)
    assert not compiled.is_there()
    assert compiled.units(keys, 0, 1) is compiled.products(keys, keys[0]) is None
    assert compiled.search_one(keys[0], keys, None, 1, 0, ALL) is None
    assert compiled.rank_scores(keys, keys, keys @ keys.T, 1, 0, ALL) is None
    assert compiled.rank_bounds(keys, keys, keys @ keys.T, 1, 1, ALL) is None
    assert compiled.unpack_rows(np.zeros((1, 8, 8, 1), np.uint8), slots, 8) is None
    assert not compiled.count_slots(slots, slots)


# What the loops are called with: a name for each argument, in order.
ONE = {
    **{"query": np.ones(4, np.float32), "keys": np.ones((3, 4), np.float32)},
    **{"mask": np.ones(3, bool), "rows": 3, "channels": 4, "k": 2, "slack": 0.1, "above": ALL},
    **{"slots": np.ones((1, 2), np.int64), "cosines": np.ones((1, 2), np.float32)},
}
MANY = {
    **{"queries": np.ones((5, 4), np.float32), "keys": np.ones((3, 4), np.float32)},
    **{"numbers": np.ones((5, 3), np.float32), "are_scores": False, "batch": 5, "rows": 3},
    **{"channels": 4, "k": 2, "few": 3, "slack": 0.0, "above": ALL},
    **{"slots": np.ones((5, 2), np.int64), "cosines": np.ones((5, 2), np.float32)},
    **{"outcomes": np.ones(5, np.int64), "rounded": (None, None, None, None, None, 0.0)},
}
CLOSER = {  # the last argument, where bounds came from integers
    **{"integers": np.ones((3, 4), np.int8), "scales": np.ones(3, np.float32)},
    **{"norms": np.ones((3, 3), np.float32), "remainders": np.ones((5, 4), np.float32)},
    **{"lost": np.ones(5, np.float32), "loose": 0.1},
}
UNITS = {
    **{"vectors": np.ones((5, 4), np.float32), "batch": 5, "channels": 4, "low": 0.1, "high": 9.0},
    **{"units": np.ones((5, 4), np.float32), "are_sure": np.ones(5, bool)},
}
PRODUCTS = {
    **{"matrix": np.ones((3, 4), np.float32), "vector": np.ones(4, np.float32), "rows": 3},
    **{"channels": 4, "are_wide": True, "sums": np.ones(3, np.float32)},
}
HALVES = {
    **{"matrix": np.ones((3, 4), np.float16), "vector": np.ones(4, np.float32), "rows": 3},
    **{"channels": 4, "sums": np.ones(3, np.float32)},
}
TURN = {
    **{"products": np.ones((3, 5), np.int32), "key_scales": np.ones(3, np.float32)},
    **{"query_scales": np.ones(5, np.float32), "sums": np.ones((3, 5), np.float32)},
    **{"rows": 3, "batch": 5, "start": 0, "all_rows": 3, "bounds": np.ones((5, 3), np.float32)},
}
BITS = {
    **{"packed": np.ones((3, 8), np.uint8), "slots": np.array([0, -1]), "width": 8},
    "bits": np.ones((2, 64), bool),
}
LOOPS = {
    **{"search_few": ONE, "rank_bounds": MANY, "units": UNITS, "products": PRODUCTS},
    **{"unpack_rows": BITS, "half_products": HALVES, "turn_bounds": TURN},
}
EXTREME = [0, -1, -(2**31), -(2**63), 2**31, 2**58, 2**60, 2**61, 2**62, 2**63 - 1]


def copies(arguments):
    """The same arguments, which loops may write to."""
    return {
        name: entry.copy() if isinstance(entry, np.ndarray) else entry
        for name, entry in arguments.items()
    }


@pytest.mark.parametrize("name", LOOPS)
def test_arrays_that_are_too_short_are_refused(name):
    loop, right = getattr(compiled._loops, name), copies(LOOPS[name])
    loop(*right.values())
    for each, entry in right.items():
        if isinstance(entry, np.ndarray) and (name, each) not in {
            *{("unpack_rows", "packed"), ("unpack_rows", "slots")}  # these say how many there are
        }:
            for short in (entry.ravel()[:-1].copy(), entry.ravel()[:0].copy()):
                with pytest.raises(ValueError, match="bytes"):
                    loop(*(right | {each: short}).values())
            with pytest.raises(TypeError):
                loop(*(right | {each: 1.5}).values())


@pytest.mark.parametrize(
    "name", ["search_few", "rank_bounds", "units", "products", "half_products"]
)
@pytest.mark.parametrize("are_scores", [True, False])
def test_sizes_that_are_none_are_refused(name, are_scores):
    loop, right = getattr(compiled._loops, name), copies(LOOPS[name])
    if "are_scores" in right:
        right["are_scores"] = are_scores
    for each in {"rows", "channels", "batch", "k"} & right.keys():
        for size in EXTREME:
            with pytest.raises(ValueError, match=r"sizes|bytes"):
                loop(*(right | {each: size}).values())
        with pytest.raises(OverflowError):
            loop(*(right | {each: 2**63}).values())


@pytest.mark.parametrize("name", [name for name in CLOSER if name != "loose"])
def test_what_bounds_came_from_is_refused_if_it_is_too_short(name):
    loop, right = compiled._loops.rank_bounds, copies(MANY)
    loop(*(right | {"rounded": (*CLOSER.values(),)}).values())
    others = [*(CLOSER[name].ravel()[:-size].copy() for size in (1, CLOSER[name].size))]
    for other in (*others, CLOSER[name].astype(float), None if name != "integers" else 1.5):
        with pytest.raises((ValueError, TypeError)):
            loop(*(right | {"rounded": (*(CLOSER | {name: other}).values(),)}).values())
    for few in ((), (None,) * 5, 7, None, "nonsense"):
        with pytest.raises(TypeError):
            loop(*(right | {"rounded": few}).values())


def test_any_number_of_few_is_right():
    """It bounds what is ranked, and no memory is asked for beyond the rows."""
    for few in EXTREME:
        arguments = copies(MANY) | {"few": few}
        compiled._loops.rank_bounds(*arguments.values())
        assert arguments["outcomes"].tolist() == 5 * [3]


def test_slots_past_the_last_and_widths_below_one_are_refused():
    for width in (size for size in EXTREME if size < 1):
        with pytest.raises((IndexError, ValueError), match=r"past the last|sizes"):
            compiled._loops.unpack_rows(*(copies(BITS) | {"width": width}).values())
    for slot in (3, 2**31, 2**63 - 1):
        with pytest.raises(IndexError, match="past the last"):
            compiled._loops.unpack_rows(*(copies(BITS) | {"slots": np.array([0, slot])}).values())


def test_widths_past_all_memory_are_refused():
    """In a process of its own, which a write out of bounds would end."""
    code = (
        "import numpy as np\nfrom memstore.kernels.compiled import _loops\n"
        f"for width in {[size for size in EXTREME if size > 8]}:\n"
        "    for count in (1, 2, 8):\n"
        "        arrays = np.zeros(8, np.uint8), np.full(count, -1), np.zeros(64, bool)\n"
        "        try:\n            _loops.unpack_rows(*arrays[:2], width, arrays[2])\n"
        "        except (ValueError, IndexError): continue\n"
        "        raise SystemExit(f'not refused: {width}')"
    )
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (process.returncode, process.stderr) == (0, "")


@pytest.mark.parametrize("name", LOOPS)
def test_arrays_of_another_type_are_refused(name):
    loop, right = getattr(compiled._loops, name), LOOPS[name]
    for each, entry in right.items():
        if isinstance(entry, np.ndarray):
            others = {"f": (float, np.int32), "i": (np.int16, float), "u": (float,), "b": (float,)}
            for kind in others[entry.dtype.kind]:
                with pytest.raises(TypeError, match="format"):
                    loop(*(copies(right) | {each: np.ones((9, 9), kind)}).values())
            pieces = np.ones((9, 9), entry.dtype)[:, ::2]
            with pytest.raises((ValueError, BufferError), match="contiguous"):
                loop(*(copies(right) | {each: pieces}).values())


def test_arrays_to_be_written_are_not_read_only():
    for name, each in (
        *(("search_few", "slots"), ("search_few", "cosines"), ("rank_bounds", "slots")),
        *(("rank_bounds", "cosines"), ("rank_bounds", "outcomes"), ("units", "units")),
        *(("products", "sums"), ("unpack_rows", "bits")),
    ):
        arguments = copies(LOOPS[name])
        arguments[each].flags.writeable = False
        with pytest.raises(ValueError, match="read-only"):
            getattr(compiled._loops, name)(*arguments.values())


@pytest.mark.parametrize("number", [np.nan, np.inf, -np.inf, 3e38])
def test_numbers_that_no_vector_has_do_no_harm(number):
    """What is found is anything, but in bounds."""
    rng = np.random.default_rng(10)
    for are_odd in ("queries", "keys", "numbers", "above", "slack"):
        vectors = {"queries": random_vectors(rng, 5, 9), "keys": random_vectors(rng, 70, 9)}
        numbers = vectors["queries"] @ vectors["keys"].T
        above, error = ALL, cosine.error_bound(9)
        if are_odd in vectors:
            vectors[are_odd][::2, ::3] = number
        elif are_odd == "numbers":
            numbers[:, ::3] = number
        elif are_odd == "above":
            above = number
        else:
            error = number
        queries, keys = vectors["queries"], vectors["keys"]
        by_row = np.ascontiguousarray(numbers.T)
        for ranked in (
            compiled.rank_scores(queries, keys, by_row, 8, error, above),
            compiled.rank_bounds(queries, keys, numbers, 20, 8, above),
        ):
            is_answer = (ranked.outcomes >= 0) & (ranked.outcomes <= 20)
            assert (ranked.outcomes <= 70).all()
            assert ((ranked.slots >= -1) & (ranked.slots < 70))[is_answer].all()
        hits = compiled.search_one(queries[0], keys, None, 8, error, above)
        assert hits is None or ((hits[0] >= -1) & (hits[0] < 70)).all()

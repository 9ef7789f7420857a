"""The rows of ratios.py one at a time: at the paper's 4,000 slots, C = 4,096, 32^3 grids, in RAM.

OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 pytest benchmarks --benchmark-only: milliseconds of CPU
time. For ratios run ratios.py, which times both sides in turn.
"""

from itertools import count
from time import process_time

import pytest

from benchmarks import ratios

pytestmark = pytest.mark.benchmark(timer=process_time)
READS = {
    f"slots=4000-batch={batch}-{kind}": (kind, batch)
    for kind in ("clusters", "random")
    for batch in (1, 32)
}
each_read = pytest.mark.parametrize("read", READS.values(), ids=READS)


@each_read
def test_read(benchmark, read):
    """Top-8 values of new keys; random ones are the hardest."""
    row = ratios.read(*read)
    benchmark(row.ours, 0)
    stats = ratios.full(read[0]).stats()
    size = stats.key_bytes + stats.value_bytes + stats.bookkeeping_bytes
    benchmark.extra_info["memory in RAM, MB"] = round(size / 1e6, 1)
    row.check()


@each_read
def test_read_baseline(benchmark, read):
    """The same by hand: FAISS IndexFlatIP, then np.unpackbits."""
    baseline = ratios.read(*read).baselines["faiss flat + unpackbits"]
    values = benchmark(baseline, 0)
    assert values.shape == (read[1], 8, 32, 32, 32)


@pytest.mark.parametrize("kind", ["mse", "iou"], ids="slots=4000-{}".format)
def test_value_similarity(benchmark, kind):
    """One grid against all values."""
    row = ratios.similarity(kind)
    benchmark(row.ours, 0)
    row.check()


@pytest.mark.parametrize("place", ["near", "far", "none"], ids="slots=4000-batch=32-{}".format)
def test_contrast(benchmark, place):
    """Where the similar value is: at the nearest key, at any, or nowhere."""
    row = ratios.contrast(place)
    benchmark(row.ours, 0)
    row.check()


@pytest.mark.parametrize("kind", ["random", "clusters"], ids="slots=4000-batch=32-{}".format)
def test_write(benchmark, kind):
    """New pairs into a full memory: 32 evictions. Last, for it changes the memory."""
    row, turns = ratios.write(kind), count()
    benchmark.pedantic(row.ours, setup=lambda: ((next(turns),), {}), rounds=10)
    row.check()

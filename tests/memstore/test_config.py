"""MemoryConfig refuses what makes no sense."""

from dataclasses import FrozenInstanceError, replace

import numpy as np
import pytest

from memstore import PAPER, ConfigError, MemoryConfig


def test_the_papers_numbers():
    """Mem3D sec. 4.2."""
    assert (PAPER.capacity, PAPER.key_dim, PAPER.resolution) == (4000, 256 * 7 * 7, 32)
    assert (PAPER.beta, PAPER.delta, PAPER.value_similarity) == (0.85, 0.9, "mse")


BAD = [
    *(("capacity", bad) for bad in (0, -1, 4.0, True, "4", None, np.int64(4), 2**40)),
    *(("key_dim", bad) for bad in (0, 2**40)),
    *(("resolution", bad) for bad in (0, 2048)),
    *(("beta", bad) for bad in (1.01, -1.01, float("nan"), "0", True, None)),
    *(("delta", bad) for bad in (1.01, -0.01, float("nan"))),
    *(("value_similarity", bad) for bad in ("IoU", "", None, [])),
]


@pytest.mark.parametrize(("field", "bad"), BAD, ids=[f"{f}={b!r}" for f, b in BAD])
def test_bad_fields(field, bad):
    with pytest.raises(ConfigError, match=f"^{field}: got .*, want "):
        replace(PAPER, **{field: bad})


def test_frozen_and_keyword_only():
    with pytest.raises(FrozenInstanceError):
        PAPER.capacity = 3
    with pytest.raises(TypeError):
        MemoryConfig(1, 2)


@pytest.mark.parametrize("resolution", [1, 2, 4, 10, 32])
def test_any_resolution(resolution):
    assert replace(PAPER, resolution=resolution, beta=-1, delta=1).resolution == resolution

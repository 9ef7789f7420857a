"""MemoryConfig refuses what makes no sense."""

from dataclasses import FrozenInstanceError, replace

import numpy as np
import pytest

from memstore import PAPER, ConfigError, MemoryConfig


def test_the_papers_numbers():
    """Mem3D sec. 4.2."""
    assert (PAPER.capacity, PAPER.key_dim, PAPER.resolution) == (4000, 256 * 7 * 7, 32)
    assert (PAPER.beta, PAPER.delta, PAPER.value_similarity) == (0.85, 0.9, "mse")
    assert PAPER.when_full == "evict"


def test_the_default_rule_loses_nothing():
    config = MemoryConfig(capacity=2, key_dim=3)
    assert (config.delta, config.value_similarity, config.when_full) == (None, "iou", "error")


BAD = [
    *(("capacity", bad) for bad in (0, -1, 4.0, True, np.True_, "4", None, [4], 2**40)),
    *(("key_dim", bad) for bad in (0, 2**40)),
    *(("resolution", bad) for bad in (0, 2048)),
    *(("beta", bad) for bad in (1.01, -1.01, float("nan"), "0", True, np.False_, None, 10**400)),
    *(("delta", bad) for bad in (1.01, -0.01, float("nan"))),
    *(("when_full", bad) for bad in ("Evict", "", None, [])),
    *(
        ("columns", bad)
        for bad in (
            *(["ok"], {"ok": bytes}, {"ok": None}, {"": int}, {"1st": int}, {"a-b": int}),
            *({3: int}, {"x" * 41: int}, {"Source": str}, {"a": int, "A": int}),
            {f"c{i}": int for i in range(33)},
        )
    ),
    *(("value_similarity", bad) for bad in ("IoU", "", None, [])),
]


@pytest.mark.parametrize(("field", "bad"), BAD, ids=[f"{f}={b!r}" for f, b in BAD])
def test_bad_fields(field, bad):
    with pytest.raises(ConfigError, match=f"^{field}: got .*want "):
        replace(PAPER, **{field: bad})


NUMPY_S = {
    "capacity": (np.uint8(4), np.int64(4), np.array(4)),
    "beta": (np.float32(0.5), np.float64(0.5), np.array(0.5), np.longdouble(0.5)),
    "delta": (np.float16(0.5), np.int8(1)),
}


@pytest.mark.parametrize(
    ("field", "number"), [(field, number) for field in NUMPY_S for number in NUMPY_S[field]]
)
def test_numpy_s_numbers_become_python_s(field, number):
    value = getattr(replace(PAPER, **{field: number}), field)
    assert value == number and type(value) is (int if field == "capacity" else float)


def test_frozen_and_keyword_only():
    with pytest.raises(FrozenInstanceError):
        PAPER.capacity = 3
    with pytest.raises(TypeError):
        MemoryConfig(1, 2)


@pytest.mark.parametrize("resolution", [1, 2, 4, 10, 32])
def test_any_resolution(resolution):
    assert replace(PAPER, resolution=resolution, beta=-1, delta=1).resolution == resolution


def test_columns_are_kept_by_name_with_the_name_of_their_type():
    config = replace(PAPER, columns={"ok": bool, "category": "str"})
    assert config.columns == {"category": "str", "ok": "bool"}
    assert config == replace(PAPER, columns={"category": str, "ok": "bool"}) != PAPER
    assert hash(config) == hash(PAPER)

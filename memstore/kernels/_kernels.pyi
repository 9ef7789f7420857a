from typing import Any

import numpy as np
from numpy.typing import NDArray

INTERFACE: int

def products(
    matrix: NDArray[np.float32],
    vector: NDArray[np.float32],
    rows: int,
    channels: int,
    are_wide: bool,
    sums: NDArray[np.float32],
    /,
) -> None: ...
def units(
    vectors: NDArray[np.float32],
    batch: int,
    channels: int,
    low: float,
    high: float,
    units: NDArray[np.float32],
    are_sure: NDArray[np.bool_],
    /,
) -> bool: ...
def count_slots(counts: NDArray[np.int64], slots: NDArray[np.int64], /) -> None: ...
def search_few(
    query: NDArray[np.float32],
    keys: NDArray[np.float32],
    is_open: NDArray[np.bool_] | None,
    rows: int,
    channels: int,
    k: int,
    slack: float,
    above: float,
    slots: NDArray[np.int64],
    cosines: NDArray[np.float32],
    /,
) -> bool: ...
def rank_bounds(
    queries: NDArray[np.float32],
    keys: NDArray[np.float32],
    numbers: NDArray[np.float32],
    are_scores: bool,
    batch: int,
    rows: int,
    channels: int,
    k: int,
    few: int,
    slack: float,
    above: float,
    slots: NDArray[np.int64],
    cosines: NDArray[np.float32],
    outcomes: NDArray[np.int64],
    rounded: tuple[Any, Any, Any, Any, Any, float],
    /,
) -> None: ...
def unpack_rows(
    packed: NDArray[np.uint8], slots: NDArray[np.int64], width: int, bits: NDArray[np.bool_], /
) -> None: ...
def pack_bytes(bits: NDArray[np.bool_], packed: NDArray[np.uint8], /) -> bool: ...
def half_products(
    matrix: NDArray[np.float16],
    vector: NDArray[np.float32],
    rows: int,
    channels: int,
    sums: NDArray[np.float32],
    /,
) -> bool: ...
def turn_bounds(
    products: NDArray[np.int32],
    key_scales: NDArray[np.float32],
    query_scales: NDArray[np.float32],
    sums: NDArray[np.float32],
    rows: int,
    batch: int,
    start: int,
    all_rows: int,
    bounds: NDArray[np.float32],
    /,
) -> None: ...

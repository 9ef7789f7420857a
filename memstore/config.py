"""MemoryConfig: the size and the rules of one memory."""

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, NoReturn, get_args

from memstore.errors import ArgumentError, ConfigError, DtypeError, FormatError
from memstore.scalars import as_float, as_int

# Far above what one machine scans exactly; they keep a damaged folder from asking for the moon.
LARGEST = {"capacity": 2**24, "key_dim": 2**20, "resolution": 1024}

ValueSimilarity = Literal[
    "mse", "iou"
]  # of values, as voxels/grids.py has it: a config needs no voxels
WhenFull = Literal["error", "evict"]
Search = Literal["exact", "ivf"]
ColumnType = Literal["str", "int", "float", "bool"]

MOST_COLUMNS = 32
COLUMN_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,39}")
TAKEN_NAMES = ("slot", "key", "value", "source", "age", "reads", "touched", "file")  # in tables


@dataclass(frozen=True, kw_only=True)
class MemoryConfig:
    """Size and rules of one memory; saved inside it, so an opened memory explains itself.

    By default nothing that was written is lost: each pair has a slot of its own, and a full memory
    refuses more. `PAPER` has Mem3D's rule, which merges and evicts.

    Raises:
        ConfigError: a field is out of range or of the wrong type.

    Source: Mem3D sec. 3.1 and 4.2; the paper calls the capacity m.
    """

    capacity: int  # slots
    key_dim: int  # C, length of an image feature
    resolution: int = 32  # R, voxels per side
    beta: float = 0.85  # read: a prior's cosine must be above this, in [-1, 1]
    delta: float | None = None  # write: from this value similarity in [0, 1] on, a value is known
    value_similarity: ValueSimilarity = "iou"  # overlap of full voxels; "mse" is the paper's S_v
    when_full: WhenFull = "error"  # write: refuse a new value, or "evict" the oldest slot
    search: Search = "exact"  # or "ivf": of large memories nearly all that is nearest, far sooner
    columns: Mapping[str, ColumnType | type] = field(default_factory=dict, hash=False)
    """What a slot has beside its value: by name str, int, float or bool, kept as "str", ..."""

    def __post_init__(self) -> None:
        for name, largest in LARGEST.items():
            self._set(name, as_int, 1, largest, f"an int in [1, {largest}]")
        self._set("beta", as_float, -1, 1, "a float in [-1, 1]")
        if self.delta is not None:
            self._set("delta", as_float, 0, 1, "a float in [0, 1], or None to merge nothing")
        choices = ("value_similarity", ValueSimilarity), ("when_full", WhenFull), ("search", Search)
        for name, kinds in choices:
            if (kind := getattr(self, name)) not in get_args(kinds):
                want = " or ".join(map(repr, get_args(kinds)))
                raise ConfigError(f"{name}: got {kind!r}, want {want}")
        object.__setattr__(self, "columns", _checked_columns(self.columns))

    def _set(
        self, name: str, convert: Callable[[str, Any], float], low: float, high: float, want: str
    ) -> None:
        """Replace a field by Python's own number, if it is in [low, high]."""
        value = getattr(self, name)
        try:
            number = convert(name, value)
        except (DtypeError, ArgumentError):
            number = math.nan
        if not low <= number <= high:
            raise ConfigError(f"{name}: got {value!r}, want {want}")
        object.__setattr__(self, name, number)  # the class is frozen for everybody else


class _Columns(dict[str, ColumnType]):
    """Columns by name, which stay as they are: rows on disk are laid out by them."""

    def __reduce__(self) -> tuple[type, tuple[dict[str, ColumnType]]]:
        return _Columns, (dict(self),)

    def _refuse(self, *_: object, **__: object) -> NoReturn:
        raise ConfigError("columns: got a change, want them as the memory was made with")

    __setitem__ = __delitem__ = __ior__ = _refuse
    clear = pop = popitem = setdefault = update = _refuse


def _checked_columns(columns: object) -> dict[str, ColumnType]:
    """Columns by name in order, each with the name of its type."""
    if not isinstance(columns, Mapping):
        raise ConfigError(f"columns: got {type(columns).__name__}, want types by name")
    if len(columns) > MOST_COLUMNS:
        raise ConfigError(f"columns: got {len(columns)}, want at most {MOST_COLUMNS}")
    checked: dict[str, Any] = {}
    for name in sorted(columns, key=str):
        kind = getattr(columns[name], "__name__", columns[name])
        if not isinstance(name, str) or not COLUMN_NAME.fullmatch(name):
            want = "a letter, then at most 39 letters, digits and _"
            raise ConfigError(f"columns: got the name {name!r}, want {want}")
        if name.lower() in (*TAKEN_NAMES, *map(str.lower, checked)):
            raise ConfigError(f"columns: got the name {name!r}, which is taken; want another")
        if kind not in get_args(ColumnType):
            raise ConfigError(f"columns: got {kind!r} for {name}, want str, int, float or bool")
        checked[name] = kind
    return _Columns(checked)


PAPER = MemoryConfig(
    capacity=4000,
    key_dim=12544,  # 256 x 7 x 7 features of 224 px images
    delta=0.90,
    value_similarity="mse",
    when_full="evict",
)
"""Mem3D's sizes and its rule: similar values merge, and a full memory evicts its oldest slot."""


def saved_config(config: MemoryConfig) -> tuple[int, dict[str, Any]]:
    """What of a config is saved, ready for JSON, and the lowest format that can say it.

    Format 1 has no columns, and no other rules than to merge from a delta on and to evict. A search
    that is exact is not said.
    """
    fields = asdict(config)
    if config.search == "exact":
        del fields["search"]
    if config.columns or config.delta is None or config.when_full != "evict" or "search" in fields:
        return 2, fields
    del fields["when_full"], fields["columns"]
    return 1, fields


def config_from_saved(version: int, fields: dict[str, Any]) -> MemoryConfig:
    """The config that `saved_config` gave, of a format that is known.

    Raises:
        FormatError: another format would have been given; other errors for what is no config.
    """
    if version == 1:
        fields = {**fields, "when_full": "evict"}
    config = MemoryConfig(**fields)
    lowest, want = saved_config(config)
    if lowest != version or (version > 1 and fields.keys() != want.keys()):
        raise FormatError(f"config: got {[*fields]} in format {version}, want format {lowest}'s")
    return config

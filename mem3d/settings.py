"""Single settings of a preset, changed by their names and by values written as text."""

import json
import math
from collections.abc import Iterable
from dataclasses import is_dataclass
from difflib import get_close_matches
from types import NoneType, UnionType
from typing import Any, Literal, get_args, get_origin, get_type_hints

from mem3d.config import Preset, rebuilt_model

_WORDS = {int: "a whole number", float: "a number", bool: "true or false", str: "a word"}


def changed(preset: Preset, settings: Iterable[str]) -> Preset:
    """A preset with single settings changed.

    Args:
        preset: to begin with.
        settings: "model.shape_encoder=mean", "train.halve_at=[0.5,0.75]": the path of a field and
            its value, as JSON (true, false) or, for words, as they are. A model's new sizes go into
            its memory's settings by themselves.

    Raises:
        ValueError: a path that leads to no field, or a value that does not fit.
    """
    fields, kinds = preset.to_dict(), _kinds(Preset)
    for setting in settings:
        path, equals, text = setting.partition("=")
        path = path.strip()
        if path not in kinds:
            raise ValueError(f"setting: got {path!r}, want {_near(path, kinds)}")
        if not equals:
            raise ValueError(f"{path}: got no value, want {path}=, then {_in_words(kinds[path])}")
        *parts, name = path.split(".")
        inside: Any = fields
        for part in parts:
            inside = inside[part]
        inside[name] = _value(path, text, kinds[path])
    model, memory = rebuilt_model(dict(fields["model"])), fields["memory"]
    for name, size in (("key_dim", model.feature_dim), ("resolution", model.resolution)):
        if memory[name] == getattr(preset.memory, name):  # another one is for Preset to refuse
            memory[name] = size
    return Preset.from_dict(fields)


def _kinds(config: type, before: str = "") -> dict[str, Any]:
    """{"model.image_size": int, "train.augmentation.flip": float, ...}"""
    kinds: dict[str, Any] = {}
    for name, kind in get_type_hints(config).items():
        if isinstance(kind, type) and is_dataclass(kind):
            kinds |= _kinds(kind, f"{before}{name}.")
        else:
            kinds[before + name] = kind
    return kinds


def _near(path: str, known: Iterable[str]) -> str:
    """What may have been meant instead of a path that is none."""
    listed = list(known)
    last = {name: name.rpartition(".")[2] for name in listed}
    ends = get_close_matches(path.rpartition(".")[2], dict.fromkeys(last.values()))
    near = [name for end in ends for name in listed if last[name] == end]
    group = [name for name in listed if name.startswith(f"{path}.")]
    near = list(dict.fromkeys([*group, *get_close_matches(path, listed, cutoff=0.75), *near]))[:3]
    if not near:
        return "the name of a setting, such as train.epochs or model.shape_encoder"
    return f"the name of a setting; near that: {', '.join(near)}"


def _value(path: str, text: str, kind: Any) -> Any:
    """What a text says, if that is of the kind."""
    try:
        value: Any = json.loads(text)
    except (ValueError, RecursionError):
        value = text
    if kind is str and not isinstance(value, str):
        value = text  # a word that looks like a number
    if not _fits(value, kind):
        raise ValueError(f"{path}: got {text!r}, want {_in_words(kind)}")
    return value


def _fits(value: Any, kind: Any) -> bool:
    """Whether a value from JSON is of an annotated kind."""
    inside = get_args(kind)
    if get_origin(kind) is Literal:
        return value in inside
    if get_origin(kind) is UnionType:
        return any(_fits(value, one) for one in inside)
    if get_origin(kind) is tuple:
        is_free = inside[-1] is Ellipsis
        return (
            isinstance(value, list)
            and (is_free or len(value) == len(inside))
            and all(_fits(one, inside[0]) for one in value)
        )
    if kind is float:
        return type(value) in (int, float) and -math.inf < value < math.inf
    return type(value) is kind or (value is None and kind is NoneType)


def _in_words(kind: Any) -> str:
    """What is wanted of a value."""
    inside = get_args(kind)
    if get_origin(kind) is Literal:
        return "one of " + ", ".join(inside)
    if get_origin(kind) is UnionType:
        return " or ".join(_in_words(one) for one in inside)
    if get_origin(kind) is tuple:
        many = "" if inside[-1] is Ellipsis else f"{len(inside)} "
        example = "[1,2]" if len(inside) == 2 else "[1,2,3]"
        return f"a list of {many}{_WORDS[inside[0]].removeprefix('a ')}s, such as {example}"
    return "null" if kind is NoneType else _WORDS[kind]

"""Frozen settings: pydantic checks types and ranges, faults are named in this project's words."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Annotated, Any, TypeVar, dataclass_transform

from pydantic import AliasChoices, AliasGenerator, ConfigDict, Field, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

T = TypeVar("T")

Share = Annotated[float, Field(ge=0, le=1)]
Weight = Annotated[float, Field(ge=0)]
Count = Annotated[int, Field(ge=0)]
AtLeastOne = Annotated[int, Field(ge=1)]


@dataclass_transform(frozen_default=True, kw_only_default=True)
def settings(**formerly: str) -> Callable[[type[T]], type[T]]:
    """Make a class a frozen, keyword-only dataclass; its annotations say what its fields may hold.

    Args:
        formerly: how old files spell a field; both spellings are read, the field's name is written.

    Raises:
        ValueError: by the class, for a value of another type or out of range, all faults in a line.
    """
    names = AliasGenerator(
        validation_alias=lambda name: AliasChoices(name, formerly.get(name, name))
    )

    def decorate(cls: type[T]) -> type[T]:
        config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False, alias_generator=names)
        checked: Any = dataclass(frozen=True, kw_only=True, config=config)(cls)
        init: Callable[..., None] = checked.__init__

        @wraps(init)
        def __init__(self: Any, **values: Any) -> None:
            with _in_words():
                init(self, **values)

        checked.__init__ = __init__
        checked.__formerly__ = formerly
        return checked  # type: ignore[no-any-return]

    return decorate


def present_name(kind: type, name: str) -> str:
    """How a field is called that was called so; else the name itself."""
    formerly: dict[str, str] = getattr(kind, "__formerly__", {})
    return {old: new for new, old in formerly.items()}.get(name, name)


def from_plain(kind: type[T], values: object, *path: str) -> T:
    """Settings from plain dicts, lists and numbers, as they come from JSON.

    Args:
        kind: a class of settings.
        values: its fields by name.
        path: names that precede theirs in an error, such as "model".

    Raises:
        ValueError: a field is unknown, missing, of another type or out of range.
    """
    with _in_words(*path):
        return TypeAdapter(kind).validate_json(json.dumps(values))


_WANT = {
    "bool_type": "true or false",
    "dataclass_type": "settings by name",
    "finite_number": "a finite number",
    "float_type": "a number",
    "greater_than": "> {gt}",
    "greater_than_equal": ">= {ge}",
    "int_type": "a whole number",
    "less_than": "< {lt}",
    "less_than_equal": "<= {le}",
    "literal_error": "{expected}",
    "string_pattern_mismatch": "text that matches {pattern}",
    "string_type": "a word",
    "too_long": "at most {max_length} of them",
    "too_short": "at least {min_length} of them",
    "tuple_type": "a list",
    "unexpected_keyword_argument": "no such setting",
}
"""What a field should have held, by the type of pydantic's error."""


@contextmanager
def _in_words(*path: str) -> Iterator[None]:
    """Pydantic's error as a plain ValueError: "train.epochs: got 0, want >= 1"."""
    try:
        yield
    except ValidationError as error:
        faults = error.errors(include_url=False)
        raise ValueError("; ".join(_line(path, fault) for fault in faults)) from None


def _line(path: tuple[str, ...], fault: Any) -> str:
    where = ".".join(map(str, (*path, *fault["loc"]))) or "settings"
    context = fault.get("ctx", {})
    if fault["type"] == "value_error":  # of a check of our own, which names the field itself
        return ".".join(map(str, (*path, *fault["loc"], context["error"])))
    if fault["type"] == "missing":
        return f"{where}: got nothing, want a value"
    want = _WANT[fault["type"]].format(**context) if fault["type"] in _WANT else fault["msg"]
    return f"{where}: got {fault['input']!r}, want {want}"

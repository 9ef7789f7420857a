"""Settings that are true or false."""

from dataclasses import fields
from typing import Any


def check_flags(config: Any) -> None:
    """Raise ValueError unless each flag of a dataclass is a bool: the text "False" would be true.

    Args:
        config: its flags are the fields whose default is a bool.
    """
    for one in fields(config):
        value = getattr(config, one.name)
        if isinstance(one.default, bool) and not isinstance(value, bool):
            raise ValueError(f"{one.name}: got {value!r}, want true or false")

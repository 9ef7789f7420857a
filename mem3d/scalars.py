"""A run's figures for TensorBoard; the package is no requirement."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any


def check_installed() -> None:
    """Raise ValueError unless the package tensorboard is there."""
    try:
        import torch.utils.tensorboard  # noqa: F401
    except ImportError as error:
        raise ValueError(
            f"tensorboard: got {error}, want the package tensorboard; pip install tensorboard"
        ) from error


class Scalars:
    """A writer of the numbers in log rows."""

    def __init__(self, folder: Path, epoch: int) -> None:
        """Write to a folder; rows after `epoch` that lie there are dropped."""
        from torch.utils.tensorboard import SummaryWriter

        self._writer: Any = SummaryWriter(str(folder), purge_step=epoch + 1)

    def add(self, row: Mapping[str, Any]) -> None:
        """Write the numbers of an epoch's row."""
        for name, value in row.items():
            if isinstance(value, int | float) and name not in ("epoch", "step"):
                kind = "validation" if name.startswith("val_") else "training"
                self._writer.add_scalar(f"{kind}/{name}", value, row["epoch"])
        self._writer.flush()

    def close(self) -> None:
        """End the file."""
        self._writer.close()


def both(
    first: Callable[[dict[str, Any]], None], second: Callable[[dict[str, Any]], None] | None
) -> Callable[[dict[str, Any]], None]:
    """One function that calls the first, then the second if there is one."""

    def call(row: dict[str, Any]) -> None:
        first(row)
        if second:
            second(row)

    return call

"""The data of a run as they come into commands that test it or change it."""

from pathlib import Path


def data_of(run: Path, data: Path | None) -> tuple[Path, Path | None]:
    """The data named, or those that the run was trained on, and their split file.

    Args:
        run: folder.
        data: of --data.

    Raises:
        ValueError: no run's folder, or its data are not where they were.
    """
    from mem3d.run_log import run_data

    if data is not None:
        return data, None
    root, split = run_data(run)
    if not root.exists():
        raise ValueError(
            f"{root}: got nothing there, where the run's data were; name them (--data)"
        )
    return root, split

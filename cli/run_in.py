"""What commands that test or change a run are given: its data, and where the new one goes."""

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


def check_out(out: Path | None, dry_run: bool) -> None:
    """Raise an error unless there is either a free place for a new run, or none is wanted."""
    from memstore.files import check_free

    if (out is not None) == dry_run:
        got = "both" if dry_run else "neither"
        raise ValueError(f"--out, --dry-run: got {got}, want one of them")
    if out is not None:
        check_free(out)

"""What lies at a path: a run's folder, a published one, or neither."""

from pathlib import Path

CONFIG, WEIGHTS, MEMORY = FILES = ("config.json", "model.safetensors", "memory.safetensors")


def is_published(folder: str | Path) -> bool:
    """Whether a folder looks like a published one."""
    return all((Path(folder) / name).is_file() for name in FILES)


def check_run(run: str | Path) -> None:
    """Raise ValueError unless there is a folder, and not a published one, which is no run."""
    if is_published(run):
        raise ValueError(f"{run}: got a published folder, want the run that it was made from")
    _check_folder(run, "a run's folder, as training makes it")


def check_trained(folder: str | Path) -> None:
    """Raise ValueError unless there is a folder, be it a run's or a published one."""
    _check_folder(folder, "a run's folder or a published one")


def _check_folder(path: str | Path, want: str) -> None:
    if not Path(path).is_dir():
        got = "a file" if Path(path).exists() else "nothing there"
        raise ValueError(f"{path}: got {got}, want {want}")

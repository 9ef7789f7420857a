"""The model that comes with the package: a published folder and photos to try it with.

mem3d/pretrained/base/       opened where no run is named, never written to
mem3d/pretrained/examples/   pictures of shapes, some on a plain ground, some on a busy one
"""

from pathlib import Path

FOLDER = Path(__file__).parent / "pretrained" / "base"
EXAMPLES = Path(__file__).parent / "pretrained" / "examples"
STEM = "bundled"  # as the name of a stem's weights: that of this model
_ENDINGS = (".png", ".jpg")


def bundled_model() -> Path:
    """Folder of the bundled model.

    Raises:
        ValueError: this installation came without it.
    """
    if not FOLDER.is_dir():
        raise ValueError(f"{FOLDER}: got nothing there, want the bundled model; or name a run")
    return FOLDER


def example_files() -> list[Path]:
    """Bundled example photos, in the order of their names; [] where the installation has none."""
    return sorted(path for path in EXAMPLES.glob("*") if path.suffix in _ENDINGS)

"""One way in to every kind of data set."""

from collections.abc import Collection
from pathlib import Path

from mem3d.data.dataset import ShapeDataset
from mem3d.data.readers.pix3d import Pix3D
from mem3d.data.readers.r2n2 import R2N2
from mem3d.data.readers.r2n2_index import is_index, open_index
from mem3d.data.splits import SplitName
from mem3d.data.zarr_pack.reader import ZarrPack, is_pack


def open_dataset(
    root: str | Path,
    subset: SplitName | None = None,
    split: str | Path | None = None,
    categories: Collection[str] | None = None,
) -> ShapeDataset:
    """Open a data set by what lies at `root`.

    Args:
        root: the data: a folder in the R2N2 layout or Pix3D's, a pack or its URL, or an index file.
        subset: which list of the split file; None takes all three.
        split: split file; None takes the data's own.
        categories: names or synsets to keep; None keeps all.

    Raises:
        ValueError: nothing there that is known, a damaged split file, or an unknown category.
    """
    if (Path(root) / "pix3d.json").exists():
        return Pix3D.open(root, subset, split, categories)
    if is_pack(root):
        return ZarrPack.open(root, subset, split, categories)
    if is_index(root):
        return open_index(root, subset, split, categories)
    if not Path(root).is_dir():
        kind = "a file of another kind" if Path(root).exists() else "nothing there"
        raise ValueError(f"{root}: got {kind}, want a data folder, a pack or an index")
    return R2N2.open(root, subset, split, categories)


def learning_subset(root: str | Path, split: str | Path | None = None) -> SplitName | None:
    """What to learn from of a data set: its training list; all of a folder that was not divided."""
    root = Path(root)
    is_plain = root.is_dir() and not is_pack(root) and not (root / "pix3d.json").exists()
    return None if is_plain and split is None and not (root / "split.json").exists() else "train"

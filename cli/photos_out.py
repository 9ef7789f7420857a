"""What `mem3d-cli reconstruct` tells of photos, and what it shows of them on demand."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from mem3d_cli.console import print_json, printable
from mem3d_cli.photos_in import Broken, Opened
from mem3d_cli.tables import reconstruction_lines

if TYPE_CHECKING:
    from mem3d.reconstruction import Prior, Reconstruction


def tell_empty(one: Opened, result: "Reconstruction") -> None:
    """On stderr, that a photo has no mesh, and why."""
    told = (
        f"{printable(one.path)}: no voxel is above {result.threshold:g} (the largest is "
        f"{result.occupancy.max():.3f}), so there is no mesh; try a lower --threshold"
    )
    typer.echo(told, err=True)


def save_input(one: Opened, result: "Reconstruction", out: Path, wanted: bool) -> list[Path]:
    """Write what the network was shown, if wanted; the file, or none."""
    from mem3d.shape_files import MAKER
    from memstore.sheets import save_png

    if not wanted:
        return []
    path = out / f"{one.name}.input.png"
    save_png(path, result.seen, MAKER)
    return [path]


def row_of(one: Opened, files: list[Path], result: "Reconstruction") -> dict[str, Any]:
    """What is told of a photo that is done."""
    return {
        "photo": str(one.path),
        "background": one.framed.background,
        "files": [str(file) for file in files],
        "voxels": int(result.grid.sum()),
        "recalled": [_recalled(prior) for prior in result.priors],
    }


def tell_done(
    rows: list[dict[str, Any]], skipped: list[Broken], *, as_json: bool, quiet: bool
) -> None:
    """Print what was done; raise what ended the command early, or ValueError if that is nothing."""
    if not quiet:
        _tell_unmasked(rows)
    if as_json:
        unread = [{"photo": str(one.path), "reason": one.reason} for one in skipped]
        print_json({"photos": rows, "skipped": unread})
    elif rows:
        typer.echo(reconstruction_lines(rows))
    if skipped and skipped[-1].error is not None:
        raise skipped[-1].error
    if not rows:
        raise ValueError(f"photos: got {len(skipped)} that cannot be read, want at least one")


def _tell_unmasked(rows: list[dict[str, Any]]) -> None:
    """On stderr, what a user should know before believing the shapes."""
    for background, told in (
        ("cut", "the object was cut out by its colours (see --inputs, --mask, --box)"),
        ("kept", "the background is taken for a part of the object"),
    ):
        photos = [row["photo"] for row in rows if row["background"] == background]
        if photos:
            which = printable(photos[0]) if len(photos) == 1 else f"{len(photos)} photos"
            typer.echo(f"{which}: no mask; {told}", err=True)


def _recalled(prior: "Prior") -> dict[str, Any]:
    """A recalled shape; the category is null where its source names none."""
    from mem3d.titles import category_of

    cosine, category = round(prior.cosine, 4), category_of(prior.source)
    return {"source": prior.source, "category": category, "cosine": cosine, "slot": prior.slot}

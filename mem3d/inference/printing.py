"""A shape as a body to print: z up, a flat base on the bed, one piece, millimeters.

Grids have y up; a printer's bed is z = 0. Front stays +x.
"""

# R = voxels per side, F = faces

import io
import re
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, fields
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import ConvexHull
from skimage.morphology import local_minima

from mem3d.inference.output import PRINT_TYPES, Surface, full_voxels
from memstore.files import write_atomic
from memstore.voxels.mesh import Mesh, blocky, smooth, write_mesh

PRINT_SIZE = 100.0  # millimeters of the longest side, where none is asked for
SMALLEST, LARGEST = 10.0, 2000.0  # millimeters that can be asked for
LEGS = 0.1  # of the height: to lose more at the bottom is told in capitals
LOOSE = 0.02  # of the volume; a body smaller than that is dropped, others are joined
TILT = 5.0  # degrees by which what stands may lean and not fall over
BED = 256.0  # millimeters of a side that common printers have room for
FEET = 2  # voxels: feet that end so close above the lowest reach the bed; most layers to cut off
_UNITS = {"mm": 1.0, "cm": 10.0, "in": 25.4}
_DEEP, _NEAR = 0.75, 0.475  # occupancy that a voxel of the body has at least, others at most


@dataclass(frozen=True, kw_only=True)
class Printable:
    """A body to print, and what was done to the shape for it.

    Attributes:
        mesh: in millimeters, z up, from 0 on along each axis; closed, every edge between two faces.
        drawn: the same mesh as pictures take it, where the shape is: y up, in sides of the grid.
        body: (R, R, R) voxels of it, y up.
        size: of its box in millimeters, x (the shape's depth, front +x), y, z (its height).
        voxel: millimeters.
        thinnest: millimeters that a wall or bar of one voxel is thick, at least.
        loose_bits: bodies that were dropped, each under LOOSE of the volume.
        loose_share: of the volume, in them.
        layers_cut: lowest ones of voxels, cut off as it would not stand by itself with them.
        height_lost: share of the shape's height below what is printed, with what was dropped there
            or cut off, such as legs.
        bridges: shortest lines of voxels that join bodies which were not dropped.
        filling: added voxels over the body's: bridges, lengthened feet, closed hollows, and where
            voxels touched by an edge or corner only.
        is_standing: its center of mass is above its base, tilted by TILT degrees too.
        by_height: its height was asked for, not its longest side.
    """

    mesh: Mesh
    drawn: Mesh
    body: NDArray[np.bool_]
    size: tuple[float, float, float]
    voxel: float
    thinnest: float
    loose_bits: int
    loose_share: float
    layers_cut: int
    height_lost: float
    bridges: int
    filling: float
    is_standing: bool
    by_height: bool = False

    def __str__(self) -> str:
        """A line on what it measures and what was done."""
        parts = [" x ".join(f"{side:.0f}" for side in self.size) + " mm (deep x wide x high)"]
        parts += [f"no wall or bar under {self.thinnest:.1f} mm"]
        if hint := self._long_side():
            parts.append(hint)
        if self.loose_bits:
            bits = "bit" if self.loose_bits == 1 else "bits"
            parts.append(
                f"dropped {self.loose_bits} loose {bits}, {_percent(self.loose_share)} of the "
                "volume"
            )
        if self.layers_cut:
            count = "layer" if self.layers_cut == 1 else f"{self.layers_cut} layers"
            parts.append(f"lowest {count} of voxels cut off, to stand")
        if self.bridges:
            count = f"{self.bridges} bridge" + "s" * (self.bridges > 1)
            parts.append(f"loose parts joined by {count}")
        if self.filling:
            parts.append(f"{_percent(self.filling)} filled in")
        if not self.is_standing:
            parts.append(
                f"DOES NOT STAND by itself: falls over within {TILT:g} degrees (print it lying, or "
                "on supports)"
            )
        if self.height_lost >= LEGS:
            lost = _percent(self.height_lost)
            parts.append(f"NOTHING OF THE LOWEST {lost} IS PRINTED, legs, foot or keel")
        return "; ".join(parts)

    def _long_side(self) -> str:
        """What a height that was asked for makes of another side, and what to do; "" if little."""
        longest, height = max(self.size), self.size[2]
        bed = f", over the {BED:g} mm of common printers" if longest > BED else ""
        if not self.by_height or (longest <= 2 * height and not (bed and longest > height)):
            return ""
        text = f"LONGEST SIDE {longest:.0f} mm, {longest / height:.1f} times the height{bed}"
        return f"{text}: ask for the size of the longest side instead (--print-size)"

    def facts(self) -> dict[str, Any]:
        """All but the meshes and voxels, by name."""
        rows = ((field.name, getattr(self, field.name)) for field in fields(self))
        return {name: value for name, value in rows if name not in ("mesh", "drawn", "body")}

    def save(self, path: str | Path) -> None:
        """Write it as .stl (binary) or .3mf, whole or not at all.

        Raises:
            ValueError: another ending.
        """
        kind = Path(path).suffix.lower().removeprefix(".")
        if kind not in PRINT_TYPES:
            want = " or ".join(PRINT_TYPES)
            raise ValueError(f"{path}: got the ending {kind!r}, want {want} for a body to print")
        if kind == "stl":
            write_mesh(path, self.mesh)
        else:
            write_atomic(path, _3mf(self.mesh))


def printable(
    occupancy: NDArray[np.float32],
    threshold: float,
    size: float | None = None,
    surface: Surface = "smooth",
    *,
    height: float | None = None,
) -> Printable:
    """Make a body to print of a shape.

    Bodies under LOOSE of the volume are dropped, others joined by the shortest line of voxels;
    hollows are filled. Feet, beside which nothing ends lower, go down to the lowest voxel if they
    end within FEET of it. Where voxels touch by an edge or a corner only, the likeliest voxel
    between them is filled. Where the body would not stand by itself and does so without its lowest
    layer or two, these are cut off.

    Args:
        occupancy: (R, R, R) in [0, 1], y up.
        threshold: in (0, 1), full where occupancy > threshold.
        size: of the longest side, in millimeters, SMALLEST to LARGEST; None is PRINT_SIZE.
        surface: "smooth" or "blocky".
        height: in millimeters likewise, in the place of the size.

    Raises:
        ValueError: no voxel is above the threshold, an argument is out of range, or both a size and
            a height are asked for.
    """
    millimeters = _asked(size, height)
    grid = full_voxels(occupancy, threshold, surface)
    pieces = _pieces(grid, occupancy)
    piece = next(pieces)
    if not piece.is_standing:
        piece = next((shorter for shorter in pieces if shorter.is_standing), piece)
    body = piece.body
    mesh = blocky(body) if surface == "blocky" else _skin(body, occupancy, threshold)
    corners = mesh.vertices.astype(np.float64)[:, [0, 2, 1]] * [1, -1, 1]  # z up, right-handed
    corners -= corners.min(0)
    scale = millimeters / (corners.max() if height is None else corners[:, 2].max())
    drawn, mesh = mesh, Mesh((corners * scale).astype(np.float32), mesh.faces)
    assert is_closed(mesh), "every edge lies between two faces"
    x, y, z = (corners.max(0) * scale).tolist()
    voxel = scale / len(body)
    return Printable(
        mesh=mesh,
        drawn=drawn,
        body=body,
        size=(x, y, z),
        voxel=voxel,
        thinnest=voxel * (1 if surface == "blocky" else _thinnest(threshold)),
        loose_bits=piece.loose_bits,
        loose_share=piece.loose_voxels / int(grid.sum()),
        layers_cut=piece.layers_cut,
        height_lost=_height_lost(grid, body),
        bridges=piece.bridges,
        filling=float((body & ~grid).sum() / body.sum()),
        is_standing=piece.is_standing,
        by_height=height is not None,
    )


def _asked(size: float | None, height: float | None) -> float:
    """Millimeters of the longest side or of the height, whichever is asked for; checked."""
    if size is not None and height is not None:
        raise ValueError(f"print size: got {size:g} mm and a height of {height:g} mm, want one")
    name, asked = ("size", size) if height is None else ("height", height)
    asked = PRINT_SIZE if asked is None else asked
    if not SMALLEST <= asked <= LARGEST:
        raise ValueError(f"print {name}: got {asked:g} mm, want {SMALLEST:g} to {LARGEST:g}")
    return asked


def _height_lost(grid: NDArray[np.bool_], body: NDArray[np.bool_]) -> float:
    """Share of a grid's height that lies below a body of it."""
    heights = np.flatnonzero(grid.any((0, 2)))
    lowest = int(body.any((0, 2)).argmax())
    return max(0, lowest - int(heights[0])) / int(np.ptp(heights) + 1)


def _percent(share: float) -> str:
    return f"{share:.1%}" if share >= 0.001 else "under 0.1%"


def millimeters(text: str, name: str = "print size") -> float:
    """What 100mm, 10cm or 4in are in millimeters.

    Args:
        text: a number with its unit.
        name: of what is asked for, for errors.

    Raises:
        ValueError: no unit, another one, or a size out of range.
    """
    match = re.fullmatch(r"\s*(\d+(?:\.\d*)?|\.\d+)\s*(mm|cm|in)\s*", text, re.ASCII)
    bounds = f"from {SMALLEST:g}mm to {LARGEST:g}mm"
    if match is None:
        is_bare = re.fullmatch(r"\s*\d+(\.\d*)?\s*", text, re.ASCII)
        example = f"{text.strip()}mm, {text.strip()}cm or {text.strip()}in" if is_bare else "100mm"
        raise ValueError(
            f"{name}: got {text!r}, want a number with its unit, such as {example}, {bounds}"
        )
    size = float(match[1]) * _UNITS[match[2]]
    if not SMALLEST <= size <= LARGEST:
        raise ValueError(f"{name}: got {text!r}, want {bounds}")
    return size


def is_closed(mesh: Mesh) -> bool:
    """Whether each edge has two faces that walk it opposite ways, and the volume is positive."""
    edges = mesh.faces[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2).astype(np.int64)
    there, back = (np.sort(edges @ [len(mesh.vertices), 1]) for edges in (edges, edges[:, ::-1]))
    is_once = len(there) == 0 or (np.diff(there) > 0).all()
    return bool(is_once and np.array_equal(there, back) and mesh.volume() > 0)


class _Piece(NamedTuple):
    """A grid made one body; see `Printable`."""

    body: NDArray[np.bool_]
    loose_bits: int
    loose_voxels: int
    layers_cut: int
    bridges: int
    is_standing: bool


def _pieces(grid: NDArray[np.bool_], occupancy: NDArray[np.float32]) -> Iterator[_Piece]:
    """The grid as one body, without up to FEET of its lowest layers."""
    low = int(grid.any((0, 2)).argmax())
    for layers in range(FEET + 1):
        rest = grid.copy()
        rest[:, : low + layers] = False
        if rest.any():
            body, loose, bits, bridges = _joined(rest)
            previous = np.zeros_like(body)
            while (body != previous).any():  # each step may undo another's
                previous = body
                body = ndimage.binary_fill_holes(body)
                body = _on_feet(_without_pinches(body, occupancy))
            yield _Piece(body, bits, int(loose.sum()), layers, bridges, _is_standing(body))


def _joined(
    grid: NDArray[np.bool_],
) -> tuple[NDArray[np.bool_], NDArray[np.bool_], int, int]:
    """Large bodies and the lines that join them; small ones; numbers of small ones and of lines."""
    labels, count = ndimage.label(grid, np.ones((3, 3, 3)))
    sizes = np.bincount(labels.ravel(), minlength=count + 1)[1:]
    is_large = (sizes >= LOOSE * grid.sum()) | (np.arange(count) == sizes.argmax())
    large = np.concatenate([[False], is_large])[labels]
    body = labels == 1 + sizes.argmax()
    bridges = int(is_large.sum()) - 1
    for _ in range(bridges):
        far, nearest = ndimage.distance_transform_edt(~body, return_indices=True)
        start = np.unravel_index(np.where(large & ~body, far, np.inf).argmin(), body.shape)
        end = nearest[(slice(None), *start)]
        line = np.linspace(start, end, 1 + int(np.abs(end - start).max())).round().astype(int)
        body |= labels == labels[start]
        body[tuple(line.T)] = True
    return body, grid & ~large, int((~is_large).sum()), bridges


def _on_feet(body: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The body, whose feet go down to its lowest voxel if they end close above that.

    A foot is the lower end of columns beside which none ends lower.
    """
    heights = np.where(body.any(1), body.argmax(1), body.shape[1])
    low = heights.min()
    is_foot = local_minima(  # type: ignore[no-untyped-call]
        np.pad(heights, 1, constant_values=body.shape[1])
    )[1:-1, 1:-1]
    is_foot &= heights <= low + FEET
    levels = np.arange(body.shape[1])[:, None]
    longer: NDArray[np.bool_] = body | (
        is_foot[:, None] & (levels >= low) & (levels < heights[:, None])
    )
    return longer


def _without_pinches(body: NDArray[np.bool_], occupancy: NDArray[np.float32]) -> NDArray[np.bool_]:
    """The body, filled where full or empty voxels touch by an edge or corner only.

    Such places are windows of 2 x 2 voxels with two opposite ones full, and of 2 x 2 x 2 with two
    opposite ones unlike the six others; the empty voxel with the highest occupancy is filled.
    """
    body = body.copy()
    spans = [span for span in product((1, 2), repeat=3) if sum(span) >= 5]
    is_new = True
    while is_new:
        is_new = False
        for span in spans:
            offsets = np.array(list(product(*(range(length) for length in span))))
            for start in np.argwhere(_pinched(body, span)):
                voxels = start + offsets
                full = body[tuple(voxels.T)]
                if _is_pinch(full):  # an earlier one's filling may have mended it
                    values = np.where(full, -1, occupancy[tuple(voxels.T)])
                    body[tuple(voxels[values.argmax()])] = is_new = True
    return body


def _pinched(body: NDArray[np.bool_], span: tuple[int, ...]) -> NDArray[np.bool_]:
    """Windows of that span that are pinches, by their first voxel."""
    if min(body.shape) < 2:
        return np.zeros((0, 0, 0), np.bool_)
    windows = np.lib.stride_tricks.sliding_window_view(body, span)
    return _is_pinch(windows.reshape(*windows.shape[:3], -1))


def _is_pinch(full: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Whether two opposite corners of a window, (..., 4 or 8), are alike and unlike all others."""
    count, corners = full.sum(-1), full.shape[-1]
    pairs = full == full[..., ::-1]  # each corner and its opposite one
    alike = pairs.all(-1)
    result: NDArray[np.bool_] = alike & ((count == 2) | (count == corners - 2))
    return result


def _skin(body: NDArray[np.bool_], occupancy: NDArray[np.float32], threshold: float) -> Mesh:
    """Smooth surface of a body, flat at the bottom of its lowest voxels.

    Occupancies are held away from the level: no wall vanishes, no two vertices fall together.
    """
    level = np.float32(threshold)
    values = 0.5 + (occupancy - level) / (2 * max(level, 1 - level))
    values = np.where(body, np.maximum(values, _DEEP), np.minimum(values, _NEAR))
    mesh = smooth(values)
    low = int(body.any((0, 2)).argmax())
    floor = (low + 0.5) / len(body) - 0.5  # centers of the lowest voxels; between is a plane's cut
    corners = mesh.vertices.copy()
    corners[corners[:, 1] < floor + 1e-6, 1] = floor - 0.5 / len(body)
    return Mesh(corners, mesh.faces)


def _thinnest(threshold: float) -> float:
    """Voxels between opposite sides of a smooth bar that is one voxel wide, at least.

    It is a square on its tip, whose half-diagonal is where the level lies on the way from a voxel
    of the body to an empty one.
    """
    emptiest = 0.5 - threshold / (2 * max(threshold, 1 - threshold))
    return float(2**0.5 * (_DEEP - 0.5) / (_DEEP - emptiest))


def _is_standing(body: NDArray[np.bool_]) -> bool:
    """Whether it stands, tilted by TILT too: whether its center of mass stays above its base."""
    low = int(body.any((0, 2)).argmax())
    cells = np.argwhere(body[:, low])
    sides = ConvexHull(np.concatenate([cells + corner for corner in product((0, 1), repeat=2)]))
    x, y, z = np.argwhere(body).mean(0) + 0.5
    inside = -(sides.equations[:, :2] @ [x, z] + sides.equations[:, 2]).max()
    return bool(inside >= (y - low) * np.tan(np.radians(TILT)))


_NAMESPACE = "http://schemas.microsoft.com/3dmanufacturing"
_PACKAGE = "http://schemas.openxmlformats.org/package/2006"
_HEAD = '<?xml version="1.0" encoding="UTF-8"?>\n'
_TYPES = (
    f'{_HEAD}<Types xmlns="{_PACKAGE}/content-types">'
    '<Default Extension="rels" '
    'ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
    '<Default Extension="model" '
    'ContentType="application/vnd.ms-package.3dmanufacturing-3dmodel+xml"/></Types>'
)
_RELATIONS = (
    f'{_HEAD}<Relationships xmlns="{_PACKAGE}/relationships"><Relationship Id="model" '
    f'Type="{_NAMESPACE}/2013/01/3dmodel" Target="/3D/3dmodel.model"/></Relationships>'
)


def _3mf(mesh: Mesh) -> bytes:
    """A 3MF package of one object, in millimeters.

    Source: 3MF Core Specification 1.3, sec. 2 (the package) and 4 (objects).
    """
    vertices = "".join(
        f'<vertex x="{x:.9g}" y="{y:.9g}" z="{z:.9g}"/>' for x, y, z in mesh.vertices
    )
    faces = "".join(f'<triangle v1="{a}" v2="{b}" v3="{c}"/>' for a, b, c in mesh.faces)
    model = (
        f'{_HEAD}<model unit="millimeter" xml:lang="en-US" xmlns="{_NAMESPACE}/core/2015/02">'
        f'<resources><object id="1" type="model"><mesh>'
        f"<vertices>{vertices}</vertices><triangles>{faces}</triangles></mesh></object></resources>"
        '<build><item objectid="1"/></build></model>'
    )
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", zipfile.ZIP_DEFLATED) as package:
        for part, text in (
            ("[Content_Types].xml", _TYPES),
            ("_rels/.rels", _RELATIONS),
            ("3D/3dmodel.model", model),
        ):
            info = zipfile.ZipInfo(part)  # its date is that of the format: the same bytes again
            info.compress_type = zipfile.ZIP_DEFLATED
            package.writestr(info, text.encode("utf-8"))
    return data.getvalue()

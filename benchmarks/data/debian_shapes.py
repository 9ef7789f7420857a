"""Meshes of Debian's packages, sorted into categories: more real shapes to learn from.

    apt-get download sweethome3d sweethome3d-furniture flightgear-data-ai \
        flightgear-data-models nexuiz-data openarena-data
    for file in *.deb; do dpkg-deb -x $file packages; done
    python -m benchmarks.data.debian_shapes packages MESHES --not-like DATA

Furniture of Sweet Home 3D, aircraft and ships of FlightGear, weapons of Nexuiz and OpenArena: the
packages tell their licenses (CC-BY, CC0, GPL). Wants `assimp` (Debian: assimp-utils), which reads
AC3D and MD3. MESHES is for `mem3d-cli data render`; with --not-like, near copies of the validation
and test shapes of DATA, turned or mirrored, are left out.
"""

import argparse
import re
import shutil
import subprocess
import tempfile
import zipfile
from collections import Counter
from collections.abc import Iterator
from multiprocessing import Pool
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from mem3d.data.meshes.reader import read_mesh
from mem3d.data.meshes.voxelize import voxelize_mesh
from mem3d.data.open import open_dataset
from mem3d.data.rendering.texture import to_srgb

LIKE = 0.8  # IoU from which a shape counts as a copy
GRAY = 160  # of faces that have no color
FURNITURE = "usr/share/sweethome3d/furniture"
BUILT_IN = "com/eteks/sweethome3d/io/resources"
GAMES = "usr/share/games"

# The first that fits the name in the catalog; None leaves it out.
CATEGORY_OF = (
    (
        None,
        r"tennis bat|toilet|towel|table fan|remote|piano bench|wall (light|spot|lamp)|track lights"
        r"|child hut|fluorescent|porch light|flashlight|air mattress|sleeping|tablet$|coat"
        r"|wheelchair|bootie|slippers|cutlery|chopping",
    ),
    ("bench", r"bench$|wood bank|little ?bank"),
    ("telephone", r"phone$|iphone"),
    ("sofa", r"sofa|couch|convertible"),
    ("chair", r"chair|stool|class seat|lounge|ottoman"),
    ("bed", r"\bbed$|crib|futon$|bunk"),
    (
        "cabinet",
        r"bedside|cabinet|wardrobe|dresser|cupboard|chest$|tv stand|locker$|^safe$|vanity|fridge"
        r"|refrigerator|freezer|oven|washing machine|dryer machine|cooker$|stove$|drawers|filing"
        r"|changing table|water cooler|island",
    ),
    ("display", r"^tv|tv$|imac|laptop|ibook"),
    ("table", r"table$|table |desk$|desk table"),
    ("bookshelf", r"bookcase|shelves"),
    ("lamp", r"lamp$|hanging light|lantern|lamppost|park light|street light"),
    ("speaker", r"speaker$|^radio$|mini stereo|mp3 (station|base)|amplifier"),
    (
        "car",
        r"sedan|beetle|ford focus|chevrolet|peugeot|renault|suv$|seat leon|smart car|^van$|^truck$"
        r"|^bus$|city bus|car model",
    ),
    ("watercraft", r"rowboat"),
    ("aeroplane", r"biplane"),
)
IN_PROGRAM = {  # of Sweet Home 3D itself
    "bed": "bed140x190 bed90x190 bunkBed90x190 cornerBunkBed90x190 loftBed140x190 bed crib",
    "cabinet": "chest bedsideTable clothesWasher cooker dishwasher fridge fridgeFreezer "
    "kitchenCabinet tvUnit wardrobe washbasinWithCabinet kitchenUpperCabinet glassDoorCabinet "
    "dresser oven",
    "bookshelf": "bookcase filledBookcase",
    "chair": "chair armchair stool armchair2 chair2",
    "table": "roundTable squareTable desk coffeeTable table",
    "sofa": "sofa cornerSofa sofa2",
    "display": "flatTV laptop",
    "lamp": "floorUplight pendantLamp workLamp lamp",
}
# Looked at and left out: propellers drawn as discs, wakes, open hulls, what is none of its kind.
EXCLUDED = (
    "Cub G-164A bf109g-ai c172p c182 c182rg c310-dpm c310u3a dr400 ercoupe fk9mk2 s11 "
    "spitfireIIa dh7 E-2C-model MC-15 flash2a Dragonfly beech99 centrair-101 vulcanb2 "
    "Cessna337_SkymasterEC-ISD Cessna337_SkymasterN6276F Cessna337_SkymasterVH-SBZ "
    "Cessna337_SkymasterVH-WWC CCTV xylophone abdominalBench islandBath stove futon"
)
SHIPS = (
    "CG-57 FerryBoat1 LargeTrawler SailBoatUnderPower SailBoatUnderPower11m SailBoatUnderSail "
    "Tanker container_carrier"
)
WEAPONS = "campingrifle electro gl hagar hlac minstanex nex rl shotgun uzi"
NO_AIRCRAFT = re.compile(
    r"light|flare|wheels|tank|bomb|banner|probe|exhaust|balloon|oon\.|oms|ssme|beacon|strobe|taxi"
    r"|nav[blr]|toggle|refuel|flash\.|bluebird|ferry",
    re.IGNORECASE,
)


class MeshFile(NamedTuple):
    """A mesh file."""

    category: str
    name: str
    path: Path
    front: str


def list_meshes(packages: Path, scratch: Path) -> Iterator[MeshFile]:
    """All meshes of the unpacked packages that have a category; archives go to `scratch`."""
    for library in sorted((packages / FURNITURE).glob("*.sh3f")):
        with zipfile.ZipFile(library) as archive:
            archive.extractall(scratch / library.stem)
        yield from furniture(scratch / library.stem)
    with zipfile.ZipFile(packages / "usr/share/sweethome3d/sweethome3d.jar") as archive:
        archive.extractall(scratch / "program")
    for category, names in IN_PROGRAM.items():
        for name in names.split():
            path = scratch / "program" / BUILT_IN / f"{name}.obj"
            yield MeshFile(category, f"sweethome3d_{name}", path, "z")
    aircraft = packages / GAMES / "flightgear/AI/Aircraft"
    for path in sorted(aircraft.rglob("*.ac")):
        if (
            not NO_AIRCRAFT.search(str(path.relative_to(aircraft)))
            and path.stem not in EXCLUDED.split()
        ):
            yield MeshFile("aeroplane", f"flightgear_{path.stem}", path, "-x")
    models = packages / GAMES / "flightgear/Models"
    yield MeshFile("aeroplane", "flightgear_F-15", models / "Aircraft/F-15-lowpoly.ac", "-x")
    for path in sorted((models / "Maritime").rglob("*.ac")):
        if path.stem in SHIPS.split():
            yield MeshFile("watercraft", f"flightgear_{path.stem}", path, "-x")
    weapons = [("nexuiz/data/data.pk3", f"models/weapons/g_{name}.md3") for name in WEAPONS.split()]
    kinds = ("grenadel", "shotgun")
    openarena = [f"models/weapons2/{name}/{name}.md3" for name in kinds]
    weapons += [("openarena/baseoa/pak0.pk3", member) for member in openarena]
    for file, member in weapons:
        with zipfile.ZipFile(packages / GAMES / file) as archive:
            path = Path(archive.extract(member, scratch / "weapons"))
        yield MeshFile("rifle", f"{file.split('/')[0]}_{path.stem}", path, "x")


def furniture(folder: Path) -> Iterator[MeshFile]:
    """What a catalog of Sweet Home 3D lists, but for models that it turns."""
    catalog = (folder / "PluginFurnitureCatalog.properties").read_text("latin-1")
    entries: dict[str, dict[str, str]] = {}
    for key, number, value in re.findall(r"^(\w+)#(\d+)=(.*)$", catalog, re.MULTILINE):
        entries.setdefault(number, {})[key] = value.strip()
    for entry in entries.values():
        category, path = category_of(entry["name"]), folder / entry["model"].lstrip("/")
        away = {"Doors and windows", "Characters"}
        is_plain = "modelRotation" not in entry and entry["category"] not in away
        if category and is_plain and path.stem not in EXCLUDED.split():
            yield MeshFile(category, f"{folder.name}_{path.stem}", path, "z")


def category_of(name: str) -> str | None:
    """Category of a catalog's name for a piece of furniture; None for none of ours."""
    for category, pattern in CATEGORY_OF:
        if re.search(pattern, name, re.IGNORECASE):
            return category
    return None


def convert(source: MeshFile, out: Path) -> str | None:
    """Write a mesh as `read_mesh` reads it, one color a face; what was wrong with it, or None."""
    try:
        with tempfile.TemporaryDirectory() as folder:
            path = source.path
            if path.suffix != ".obj":
                path = Path(folder) / "mesh.obj"
                command = ["assimp", "export", str(source.path), str(path)]
                subprocess.run(command, check=True, capture_output=True, timeout=120)
            painted = read_mesh(path, front=source.front)
    except subprocess.CalledProcessError as error:
        return f"{source.name}: assimp told {error.stdout[-200:].decode(errors='replace')!r}"
    except (ValueError, OSError, subprocess.SubprocessError) as error:
        return f"{source.name}: {error!s:.200}"
    mesh, colors = painted.mesh, painted.mesh.colors
    if painted.paint is not None:
        faces = np.arange(len(mesh.faces), dtype=np.int32)
        middle = np.full(len(faces), 1 / 3, np.float32)
        light = painted.paint.at(faces, middle, middle).astype(np.float64)
        colors = (to_srgb(light.clip(0, 1)) * 255 + 0.5).astype(np.uint8)
    if colors is None:
        colors = np.full((len(mesh.faces), 3), GRAY, np.uint8)
    file = out / source.category / f"{source.name}.npz"
    file.parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(file, v=mesh.vertices, f=mesh.faces, c=colors)
    return None


def copies(meshes: list[Path], data: Path) -> NDArray[np.bool_]:
    """(n,) which meshes are nearly a validation or test shape, in any of eight directions."""
    with Pool() as pool:
        grids = np.stack(pool.map(_voxels, meshes, chunksize=8))
    ours = grids.reshape(len(grids), -1).astype(np.float32)
    is_copy = np.zeros(len(meshes), np.bool_)
    for shapes in (open_dataset(data, "val"), open_dataset(data, "test")):
        for i in range(len(shapes)):
            for way in _ways(shapes.grid(i)):
                theirs = way.reshape(-1).astype(np.float32)
                common = ours @ theirs
                is_copy |= common / (ours.sum(1) + theirs.sum() - common) > LIKE
    return is_copy


def _ways(grid: NDArray[np.bool_]) -> Iterator[NDArray[np.bool_]]:
    """A grid turned about y by quarters, each as it is and mirrored."""
    for turns in range(4):
        turned = np.rot90(grid, turns, axes=(0, 2))
        yield turned
        yield turned[::-1]


def _voxels(path: Path) -> NDArray[np.bool_]:
    return voxelize_mesh(read_mesh(path).mesh)


def main() -> None:
    """Write the meshes and tell how many there are."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("packages", type=Path, help="where the packages were unpacked")
    parser.add_argument("out", type=Path, help="folder to write, one folder per category")
    parser.add_argument("--not-like", type=Path, help="data set whose held-out shapes stay unseen")
    options = parser.parse_args()
    if shutil.which("assimp") is None:
        parser.error("assimp: not found, want it on the path (Debian: assimp-utils)")
    if options.out.exists() and any(options.out.iterdir()):
        parser.error(f"{options.out}: got a folder with something in it, want a new one")
    with tempfile.TemporaryDirectory() as scratch:
        try:
            listed = list(list_meshes(options.packages, Path(scratch)))
        except (OSError, KeyError) as error:
            parser.error(f"{options.packages}: got {error}, want the six packages unpacked there")
        with Pool() as pool:
            wrong = pool.starmap(convert, [(mesh, options.out) for mesh in listed], chunksize=4)
    for reason in filter(None, wrong):
        print("left out:", reason)
    meshes = sorted(options.out.rglob("*.npz"))
    if options.not_like is not None:
        for path, is_copy in zip(meshes, copies(meshes, options.not_like), strict=True):
            if is_copy:
                print("left out, for it is like a held-out shape:", path.stem)
                path.unlink()
    counts = Counter(path.parent.name for path in options.out.rglob("*.npz"))
    print(
        f"{counts.total()} meshes:", ", ".join(f"{name} {n}" for name, n in sorted(counts.items()))
    )


if __name__ == "__main__":
    main()

"""Photos in files to shapes in files, a batch at a time: here, or in workers (`mem3d.actors`).

A batch is always of one size, in whatever process and after whatever interruption it is done: what
a network answers for a photo depends, in its last bits, on how many are beside it. So those of a
batch that are there already are not made again, but another photo takes their place.
"""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import torch

from mem3d.actors import Crew
from mem3d.data.images.framing import Background, Framed, shrunk
from mem3d.data.images.io import PhotoFiles, distinct_names, list_images, read_image
from mem3d.data.images.preprocess import Box, Rgba
from mem3d.data.taxonomy import category_of
from mem3d.inference.output import MAKER, Surface, input_of
from mem3d.inference.reconstruct import Prior, Reconstruction
from mem3d.inference.reconstructor import load
from mem3d.integrity import check_of_facts, check_of_file
from mem3d.journal import Journal
from mem3d.network.checkpoint import Which
from mem3d.network.fingerprint import check_of_memory, check_of_network
from memstore import MemstoreError
from memstore.files import write_atomic
from memstore.voxels.contact_sheet import save_png

UNFINISHED = "unfinished.jsonl"  # journal of a job that is not


@dataclass(frozen=True, kw_only=True)
class PhotoJob:
    """What is to be made of photos.

    Attributes:
        run: folder of a run or a published one.
        out: folder to write to, or a file if `is_file`.
        is_file: which of the two; for one photo.
        ensemble: folders of further networks that answer too.
        which: of a run: the best epoch on validation, or the last.
        device: where the weights go.
        threads: that are computed with.
        mask: picture that is light where the object is, or a folder of them.
        box: left, top, right, bottom of the object in pixels.
        background: see `Reconstructor.reconstruct`, as the next two.
        threshold: from which on a voxel is full.
        flip: average with the mirror images.
        formats: of `output.FORMATS`; see `Reconstruction.save_all`, as the next three.
        surface: of meshes.
        confidence: color them.
        print_size: of bodies to print, or None.
        print_height: of bodies to print, or None.
        inputs: also write what the network is shown.
    """

    run: Path
    out: Path
    threads: int
    is_file: bool = False
    ensemble: tuple[Path, ...] = ()
    which: Which = "best"
    device: str = "cpu"
    mask: Path | None = None
    box: Box | None = None
    background: Background | None = None
    threshold: float = 0.3
    flip: bool = False
    formats: tuple[str, ...] = ("glb",)
    surface: Surface = "smooth"
    confidence: bool = True
    print_size: float | None = None
    print_height: float | None = None
    inputs: bool = False


class Photo(NamedTuple):
    """A photo to be read.

    Attributes:
        path: of its file.
        name: of what is to be written, without ending.
        is_named: by itself, so that the job ends if it cannot be read.
    """

    path: Path
    name: str
    is_named: bool


class UnreadablePhoto(NamedTuple):
    """A photo that could not be read.

    Attributes:
        path: of its file.
        reason: in words.
        check: of its file, and its mask's; "" if there is none.
        error: of one that was named itself, the last of all.
    """

    path: Path
    reason: str
    check: str
    error: Exception | None = None


class PhotoResult(NamedTuple):
    """What a photo became.

    Attributes:
        path: of its file.
        check: of its file, and its mask's.
        row: what is told of it; JSON can hold it.
        largest: occupancy.
    """

    path: Path
    check: str
    row: dict[str, Any]
    largest: float


Batch = tuple[Photo, ...]
Outcome = PhotoResult | UnreadablePhoto


class Rest(NamedTuple):
    """What is still to be done of a batch.

    Attributes:
        batch: its photos.
        outcomes: of those that were done before an interruption; None of the others.
    """

    batch: Batch
    outcomes: tuple[Outcome | None, ...]


def batches_of(files: PhotoFiles, size: int) -> list[Batch]:
    """Photos in their order, so many at once."""
    names = zip(files.photos, distinct_names(files.photos), strict=True)
    photos = [Photo(path, name, path in files.named) for path, name in names]
    return [tuple(photos[start : start + size]) for start in range(0, len(photos), size)]


class PhotoWorker:
    """Does batches of a job with a network of its own."""

    def __init__(self, job: PhotoJob) -> None:
        """Open the network."""
        torch.set_num_threads(job.threads)
        self.job = job
        self._masks = _Masks(job.mask)
        self._reconstructor = load(job.run, job.which, job.device, job.ensemble)

    def close(self) -> None:
        """Close the memory."""
        self._reconstructor.close()

    @cached_property
    def identity(self) -> str:
        """Check of the networks and memories that are open."""
        first = self._reconstructor
        return check_of_facts(
            [
                [check_of_network(member.model), check_of_memory(member.memory)]
                for member in (first, *first.ensemble)
            ]
        )

    def outcomes(self, rest: Rest, folder: Path) -> Iterator[Outcome]:
        """Do the rest of a batch, and write what becomes of it into a folder.

        Those that cannot be read come first. One that was named itself comes last instead; what
        follows it in the batch is left out.
        """
        frames: list[tuple[Photo, str, Rgba, Framed] | None] = []  # None: it is there already
        last: UnreadablePhoto | None = None
        for photo, outcome in zip(*rest, strict=True):
            if outcome is not None:
                frames += [None] * isinstance(outcome, PhotoResult)
                continue
            check = self._masks.check_beside(
                photo.path
            )  # before it is read: what changes then is noticed
            try:
                rgba = read_image(photo.path)
                frames.append((photo, check, shrunk(rgba)[0], self._framed(photo.path, rgba)))
            except (ValueError, OSError) as error:
                unreadable = UnreadablePhoto(photo.path, _reason(error), check)
                if photo.is_named:
                    last = unreadable._replace(error=error)
                    break
                yield unreadable
        for (photo, check, rgba, _), result in self._results(frames):
            folder.mkdir(parents=True, exist_ok=True)  # not before there is something to write
            row = self._row(photo, self._save(folder, photo, rgba, result), result)
            yield PhotoResult(photo.path, check, row, float(result.occupancy.max()))
        if last is not None:
            yield last

    def _results(
        self, frames: Sequence[tuple[Photo, str, Rgba, Framed] | None]
    ) -> Iterator[tuple[tuple[Photo, str, Rgba, Framed], Reconstruction]]:
        """What the network makes of those that are not there; the first stands for the others."""
        fresh = [frame for frame in frames if frame is not None]
        if not fresh:
            return
        results = self._reconstructor.reconstruct_framed(
            [(frame or fresh[0])[-1] for frame in frames],
            threshold=self.job.threshold,
            flip=self.job.flip,
        )
        for frame, result in zip(frames, results, strict=True):
            if frame is not None:
                yield frame, result

    def _framed(self, path: Path, rgba: Rgba) -> Framed:
        """What the network is to see; an error names the file, and the mask's if at fault."""
        job, mask = self.job, self._masks.of(path)
        light = None if mask is None else read_image(mask)
        try:
            return self._reconstructor.frame(
                rgba, mask=light, box=job.box, background=job.background
            )
        except ValueError as error:
            is_at_fault = job.mask is not None and str(error).startswith("mask:")
            at_fault = f" ({job.mask})" if is_at_fault else ""
            raise ValueError(f"{path}: {error}{at_fault}") from error

    def _save(self, folder: Path, photo: Photo, rgba: Rgba, result: Reconstruction) -> list[Path]:
        """Write what is wanted of a photo; ValueError if a single file is to be an empty mesh."""
        job = self.job
        if job.is_file:
            paths = [folder / job.out.name]
            _save_file(paths[0], photo, rgba, result, job)
        else:
            paths = result.save_all(
                folder / photo.name,
                rgba,
                formats=job.formats,
                surface=job.surface,
                confidence=job.confidence,
                print_size=job.print_size,
                print_height=job.print_height,
            )
        if job.inputs:
            paths.append(input_of(paths[-1]))
            save_png(paths[-1], result.network_input, MAKER)
        return paths

    def _row(self, photo: Photo, files: Sequence[Path], result: Reconstruction) -> dict[str, Any]:
        """What is told of a photo."""
        job = self.job
        is_sized = (job.print_size, job.print_height) != (None, None)
        is_printed = is_sized or any(file.suffix == ".3mf" for file in files)
        body = None
        if is_printed and result.grid.any():
            body = result.printable(job.print_size, height=job.print_height, surface=job.surface)
        return {
            "photo": str(photo.path),
            "background": result.background,
            "doubts": list(result.doubts),
            "files": [str(folder_of(job) / file.name) for file in files],
            "voxels": int(result.grid.sum()),
            "to_print": None if body is None else {**body.facts(), "in_words": str(body)},
            "remarks": list(result.remarks),
            "recalled": [_recalled(prior) for prior in result.priors],
        }


class _Masks:
    """Files of masks: one, or those of a folder, or none."""

    def __init__(self, path: Path | None) -> None:
        self._path = path

    def of(self, photo: Path) -> Path | None:
        """File of a photo's mask, which in a folder is named as the photo is."""
        path = self._path
        if path is None or not path.is_dir():
            return path
        if photo.stem not in self._by_name:
            raise ValueError(f"{path}: got no mask for {photo.name}, want {photo.stem}.png")
        return self._by_name[photo.stem]

    def check_beside(self, photo: Path) -> str:
        """Check of a photo's file, and of its mask's; "" if one cannot be read."""
        try:
            return " ".join(check_of_file(file) for file in (photo, self.of(photo)) if file)
        except (ValueError, OSError):
            return ""

    @cached_property
    def _by_name(self) -> dict[str, Path]:
        """Files of the folder, the first of each name."""
        assert self._path is not None
        return {picture.stem: picture for picture in reversed(list_images(self._path)[0])}


class RemotePhotos:
    """A PhotoWorker in another process: what it writes comes back with the outcomes, as bytes."""

    def __init__(self, job: PhotoJob) -> None:
        self._worker = PhotoWorker(job)
        self.identity = self._worker.identity

    def __call__(self, rest: Rest) -> list[tuple[Outcome, dict[str, bytes]]]:
        """Do the rest of a batch: each outcome, and its files by their names."""
        answers = []
        with TemporaryDirectory() as scratch:
            for outcome in self._worker.outcomes(rest, Path(scratch)):
                files = {}
                if isinstance(outcome, PhotoResult):
                    names = [Path(file).name for file in outcome.row["files"]]
                    files = {name: (Path(scratch) / name).read_bytes() for name in names}
                answers.append((outcome, files))
        return answers


def folder_of(job: PhotoJob) -> Path:
    """Where files are written."""
    return job.out.parent if job.is_file else job.out


def unfinished(job: PhotoJob, identity: str) -> Journal:
    """Journal of a job in its folder.

    Args:
        job: what is to be made.
        identity: of the network, see `PhotoWorker`.

    Raises:
        ValueError: there is another file.
    """
    facts = {name: str(value) for name, value in asdict(job).items()}
    releases = [version("mem3d"), torch.__version__]
    check = check_of_facts([facts, identity, releases])
    return Journal(folder_of(job) / UNFINISHED, check)


def rests_of(batches: Sequence[Batch], journal: Journal | None, job: PhotoJob) -> list[Rest]:
    """What is still to be done.

    A photo is done if it is as it was, and all its files are there, whole.

    Args:
        batches: of all photos.
        journal: of what was done before an interruption; None without.
        job: what is to be made.
    """
    masks = _Masks(job.mask)
    rests = []
    for batch in batches:
        outcomes: list[Outcome | None] = []
        for key in _keys(batch):
            entry = None if journal is None else journal.get(key)
            if entry is not None and not _is_there(entry, masks):
                entry = None
            outcomes.append(None if entry is None else _restored(entry))
        rests.append(Rest(batch, tuple(outcomes)))
    return rests


def _keys(batch: Batch) -> list[str]:
    """Names of a batch's photos in a journal: another batch may make others of them."""
    check = check_of_facts([[str(photo.path), photo.name] for photo in batch])
    return [f"{check} {place}" for place in range(len(batch))]


def _saved(outcome: Outcome) -> dict[str, Any]:
    """An outcome as a journal keeps it."""
    fields: dict[str, Any] = {**outcome._asdict(), "path": str(outcome.path)}
    if isinstance(outcome, PhotoResult):
        fields["files"] = {file: check_of_file(file) for file in outcome.row["files"]}
    else:
        fields.pop("error")
    return fields


def _is_there(fields: dict[str, Any], masks: _Masks) -> bool:
    """Whether a photo is as it was, and so are its files."""
    if not fields["check"] or masks.check_beside(Path(fields["path"])) != fields["check"]:
        return False
    try:
        return all(check_of_file(file) == check for file, check in fields.get("files", {}).items())
    except (OSError, MemstoreError):
        return False


def _restored(fields: dict[str, Any]) -> Outcome:
    """What `_saved` gave."""
    fields = {**fields, "path": Path(fields["path"])}
    fields.pop("files", None)
    return PhotoResult(**fields) if "row" in fields else UnreadablePhoto(**fields)


def outcomes_of(
    rests: Sequence[Rest],
    crew: PhotoWorker | Crew,
    journal: Journal | None,
    job: PhotoJob,
) -> Iterator[Outcome]:
    """What became of photos; files are there once their outcome is.

    Those that can be read come in their order, and so do those that cannot, maybe before them.

    Args:
        rests: of all batches.
        crew: who does them.
        journal: notes what is done; None without.
        job: what is to be made.

    Raises:
        mem3d.actors.WorkerError: a worker failed; files of what came before are there.
    """
    fresh = iter(_fresh([rest for rest in rests if None in rest.outcomes], crew, job))
    for rest in rests:
        stored = dict(enumerate(rest.outcomes))
        if None not in rest.outcomes:
            yield from filter(None, rest.outcomes)
            continue
        places = {photo.path: place for place, photo in enumerate(rest.batch)}
        keys = _keys(rest.batch)
        for outcome in next(fresh):
            place = places[outcome.path]
            if journal is not None and not _ends_the_job(outcome):
                journal.add(keys[place], _saved(outcome))
            if _ends_the_job(outcome):
                yield from _taken(stored, place)
                yield outcome
                return
            yield from _taken(stored, place, type(outcome))
            yield outcome
        yield from _taken(stored, len(keys))


def _ends_the_job(outcome: Outcome) -> bool:
    """Whether it is a photo that was named itself, and cannot be read."""
    return isinstance(outcome, UnreadablePhoto) and outcome.error is not None


def _taken(
    outcomes: dict[int, Outcome | None], end: int, kind: type[Outcome] | None = None
) -> Iterator[Outcome]:
    """Take outcomes out that stand before a place, in their order; of one kind, or all."""
    for place in sorted(place for place in outcomes if place < end):
        outcome = outcomes[place]
        if outcome is not None and kind in (None, type(outcome)):
            del outcomes[place]
            yield outcome


def _fresh(
    rests: Sequence[Rest], crew: PhotoWorker | Crew, job: PhotoJob
) -> Iterator[Iterator[Outcome]]:
    """Outcomes of the rest of each batch, which are written as they are asked for."""
    folder = folder_of(job)
    if isinstance(crew, PhotoWorker):
        for rest in rests:
            yield crew.outcomes(rest, folder)
        return
    for answers in crew.map(rests, _named):
        yield _written(answers, folder)


def _named(rest: Rest) -> str:
    """A batch, for errors."""
    return f"photos {rest.batch[0].path} to {rest.batch[-1].path}"


def _written(answers: list[tuple[Outcome, dict[str, bytes]]], folder: Path) -> Iterator[Outcome]:
    """Outcomes that have come from a worker, once their files are written."""
    for outcome, files in answers:
        for name, data in files.items():
            folder.mkdir(parents=True, exist_ok=True)
            write_atomic(folder / name, data)
        yield outcome


def _save_file(out: Path, photo: Photo, rgba: Rgba, result: Reconstruction, job: PhotoJob) -> None:
    """Write the one file that is wanted."""
    how: dict[str, Any] = {"surface": job.surface, "confidence": job.confidence}
    if out.suffix.lower() == ".png":
        save_png(out, result.picture(rgba, name=photo.name, **how), MAKER)
    else:
        result.save(out, **how, print_size=job.print_size, print_height=job.print_height)


def _recalled(prior: Prior) -> dict[str, Any]:
    """A recalled shape; the category is null where its source names none."""
    cosine, category = round(prior.cosine, 4), category_of(prior.source)
    return {"source": prior.source, "category": category, "cosine": cosine, "slot": prior.slot}


def _reason(error: ValueError | OSError) -> str:
    """Why a photo cannot be read; the system's own words begin with the file."""
    if isinstance(error, OSError) and error.filename is not None and error.strerror:
        return f"{error.filename}: {error.strerror}"
    return str(error) or type(error).__name__

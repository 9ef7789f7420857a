"""Photos of a folder through workers of Ray's: what a photo costs, and what the workers do.

`python -m benchmarks.scale.photos --photos 16 --workers 1 2 --rounds 2`; one thread each, bundled
model and its example photos, in turns with the same without Ray; least of the rounds.
"""

import argparse
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from mem3d.actors import Crew, Hiring
from mem3d.bundled import bundled_model, example_files
from mem3d.data.images.io import PhotoFiles
from mem3d.inference.photos import (
    PhotoJob,
    PhotoWorker,
    RemotePhotos,
    batches_of,
    outcomes_of,
    rests_of,
)
from memstore.ray_session import RaySession


def cpu_of(crew: PhotoWorker | Crew) -> float:
    """Seconds of CPU of this process and of the workers."""
    seconds = time.process_time()
    if isinstance(crew, Crew):
        calls = [hand.__ray_call__.remote(lambda _: time.process_time()) for hand in crew._hands]
        seconds += sum(crew._ray.get(calls))
    return seconds


@contextmanager
def crew_of(job: PhotoJob, workers: int) -> Iterator[PhotoWorker | Crew]:
    """Who does the photos; 0 workers: this process."""
    crew = Crew(partial(RemotePhotos, job), Hiring(workers), 1) if workers else PhotoWorker(job)
    try:
        yield crew
    finally:
        crew.close()


def measured(folder: Path, files: PhotoFiles, workers: int, batch: int) -> tuple[float, ...]:
    """Seconds to start, then per photo: wall and CPU. All files are written."""
    job = PhotoJob(run=bundled_model(), out=folder / "out", threads=1)
    begin = time.perf_counter()
    with crew_of(job, workers) as crew:
        batches, ready, cpu = batches_of(files, batch), time.perf_counter(), cpu_of(crew)
        outcomes = list(outcomes_of(rests_of(batches, None, job), crew, None, job))
        wall, cpu = time.perf_counter() - ready, cpu_of(crew) - cpu
    assert len(outcomes) == len(files.photos) == len(list(job.out.glob("*.glb")))
    shutil.rmtree(job.out)
    return ready - begin, wall / len(outcomes), cpu / len(outcomes)


def main() -> None:
    """Print a row for each number of workers."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--photos", type=int, default=16)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--rounds", type=int, default=2)
    args = parser.parse_args()
    session = RaySession("benchmarks.scale.photos")
    with TemporaryDirectory() as name:
        folder = Path(name)
        files = PhotoFiles()
        examples = example_files()
        for number in range(args.photos):
            photo = examples[number % len(examples)]
            files.photos.append(folder / f"{number:04d}{photo.suffix}")
            shutil.copy(photo, files.photos[-1])
        counts = [0, *args.workers]
        rounds = [
            [measured(folder, files, count, args.batch) for count in counts]
            for _ in range(args.rounds)
        ]
    session.close()
    for count, rows in zip(counts, zip(*rounds, strict=True), strict=True):
        start, wall, cpu = map(min, zip(*rows, strict=True))
        who = f"{count} workers" if count else "without Ray"
        print(f"{who}: {1 / wall:.2f} photos/s, CPU {cpu:.2f} s a photo, start {start:.1f} s")


if __name__ == "__main__":
    main()

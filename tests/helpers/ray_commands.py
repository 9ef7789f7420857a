"""Commands through a real Ray, started once: `python -m tests.helpers.ray_commands FOLDER`.

Prints "cannot start: why" if Ray does not start here, else "done" at the end.
"""

import os
import shutil
import sys
import time
import warnings
from functools import partial
from pathlib import Path

from mem3d.actors import Crew, Hiring, WorkerError
from mem3d.inference import photos as photos_module
from mem3d.network import checkpoint
from tests.cli.mem3d.test_app import call
from tests.helpers.r2n2_folder import make_r2n2
from tests.helpers.ray_session import started
from tests.helpers.untrained_run import make_run, save_photo

RAY = ("--ray", "--workers", 2)
FORMATS = ("--batch", 2, "--inputs", "--json", "-f", "npz", "-f", "glb", "--threshold", 0.5)


def files_in(folder):
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*.*")}


def reconstruct(run, photos, out, *options):
    """Status, what is printed, what else is said, the error, and all files, which are removed."""
    done = call("reconstruct", run, *photos, "--out", out, *FORMATS, *options)
    files = files_in(out)
    shutil.rmtree(out)
    return done.exit_code, done.stdout, done.stderr, str(done.exception), files


def whole_folders_are_the_same(run, folder):
    """Photos by name, of which one is none: what comes after it is not there, done or not."""
    photos = folder / "photos"
    photos.mkdir()
    for number in range(8):
        save_photo(photos / f"{number}.png", number)
    (photos / "3.png").write_bytes(b"no picture")
    named = [photos / f"{number}.png" for number in (7, 6, 5, 3, 2, 1, 0)]
    here = reconstruct(run, named, folder / "named")
    assert here == reconstruct(run, named, folder / "named", *RAY)
    assert here[0] == 1 and "3.png: got no picture" in here[3]
    assert {path.name[0] for path in here[-1]} == {"7", "6", "5", "u"}  # and the journal


def an_interrupted_command_goes_on_in_workers(run, folder):
    """Begun without Ray in a folder, where a photo that is none is passed over."""
    photos, out = [folder / "photos"], folder / "out"
    here = reconstruct(run, photos, out)
    original = photos_module.Reconstruction.save_all

    def stopped(self, stem, *arguments, **options):
        if stem.name == "4":
            raise KeyboardInterrupt
        return original(self, stem, *arguments, **options)

    photos_module.Reconstruction.save_all = stopped
    done = call("reconstruct", run, *photos, "--out", out, *FORMATS)
    photos_module.Reconstruction.save_all = original
    assert done.exit_code == 130
    there = reconstruct(run, photos, out, "--ray", "--workers", 1)
    notice = f"{out}: 4 photos done before the interruption; the rest follows\n"
    assert (there[0], there[1], there[2].replace(notice, ""), *there[3:]) == here
    assert notice in there[2] and here[0] == 0 and len(here[-1]) == 4 * 7


def a_killed_worker_is_named(run, folder):
    """And what came before it is answered."""
    job = photos_module.PhotoJob(run=run, out=folder / "lost", threads=1)
    crew = Crew(partial(photos_module.RemotePhotos, job), Hiring(1), 1)
    batch = (photos_module.Photo(folder / "photos" / "0.png", "0", False),)
    rest = photos_module.Rest(batch, (None,))
    answers = crew.map([rest] * 40, lambda batch: "photos 0 to 0")
    next(answers)
    crew._ray.kill(crew._hands[0])
    try:
        while True:
            next(answers)
    except WorkerError as error:
        assert str(error).startswith("worker 1 of 1, at photos 0 to 0: the worker is gone"), error
    crew.close()


def memory_of(run):
    """All that a memory holds, ages too."""
    _, memory, _ = checkpoint.load(run)
    with memory, memory.frozen() as state:
        return [column.tobytes() for column in state.rows(state.used)[:-1]], state.clock


def memories_are_the_same(run, folder):
    """Pairs are written here, in their order; a picture that is none is named."""
    data = make_r2n2(folder / "data")
    options = ("--data", data, "--known-shapes", "keep", "--capacity", 9, "--views", 3, "--json")
    for name, ray in (("here", ()), ("there", RAY)):
        done = call("memorize", run, *options, "--out", folder / "more" / name, *ray)
        assert done.exit_code == 0, done.output
    assert memory_of(folder / "more" / "here") == memory_of(folder / "more" / "there")
    assert {path.name for path in (folder / "more").iterdir()} == {"here", "there"}


def main(folder):
    """All of it."""
    ray = started(num_cpus=2)
    if ray is None:
        return
    try:
        run = make_run(folder / "run")
        for check in (
            whole_folders_are_the_same,
            an_interrupted_command_goes_on_in_workers,
            a_killed_worker_is_named,
            memories_are_the_same,
        ):
            begin = time.monotonic()
            check(run, folder)
            print(f"{check.__name__}: {time.monotonic() - begin:.1f} s", file=sys.stderr)
        assert ray.is_initialized()  # it was not the commands' to stop
        print("done")
    finally:
        ray.shutdown()


if __name__ == "__main__":
    os.environ["OMP_NUM_THREADS"] = "1"
    warnings.simplefilter("ignore")  # of merges and evictions
    main(Path(sys.argv[1]))

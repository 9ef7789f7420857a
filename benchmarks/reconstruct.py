"""CPU of `mem3d-cli reconstruct`, a photo, against the network alone.

    python -m benchmarks.reconstruct RUN FOLDER [ROUNDS]

RUN is a run or a published folder, FOLDER holds photos, such as 32. Both ways take turns in one
process, and of each the least counts. "network" is the forward pass with its recall of what the
photos were framed to; "whole" is what the command does beyond starting: reading, framing, network,
mesh, GLB and picture. Lines of text are lettered anew in each round, as in a process of its own. Of
"reading and framing", nearly all is the network that cuts out photos without a mask, where there
are such. Set OMP_NUM_THREADS=1.
"""

import sys
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from time import process_time

import torch

import mem3d
from mem3d.data.images.framing import frame_photo
from mem3d.data.images.io import find_photos, read_image
from mem3d.inference.reconstructor import Reconstructor
from memstore.voxels.lettering import text_ink, text_width

BATCH = 16
TARGET = 2.0


def seconds(work: Callable[[], object]) -> float:
    """CPU time of this process."""
    start = process_time()
    work()
    return process_time() - start


def main(run: str, folder: str, rounds: int = 5) -> None:
    """Print milliseconds a photo, and their ratio."""
    torch.set_num_threads(1)
    photos = find_photos([folder]).photos
    with mem3d.load(run) as reconstructor, TemporaryDirectory() as out:
        frames = [frame_photo(read_image(path)) for path in photos]
        network, reading, whole = [], [], []
        for _ in range(rounds):
            network.append(seconds(lambda: in_batches(reconstructor, frames)))
            reading.append(seconds(lambda: [frame_photo(read_image(path)) for path in photos]))
            text_ink.cache_clear()
            text_width.cache_clear()
            whole.append(seconds(lambda: write_all(reconstructor, photos, Path(out))))
    least = {"network": min(network), "reading and framing": min(reading), "whole": min(whole)}
    for name, time in least.items():
        print(f"{name:20}{1000 * time / len(photos):8.1f} ms of CPU a photo")
    ratio = least["whole"] / least["network"]
    print(f"whole / network {ratio:.2f}, target {TARGET}: {'yes' if ratio <= TARGET else 'NO'}")


def in_batches(reconstructor: Reconstructor, frames: list) -> list:
    """Results of framed photos."""
    parts = (frames[start : start + BATCH] for start in range(0, len(frames), BATCH))
    return [result for part in parts for result in reconstructor.reconstruct_framed(part)]


def write_all(reconstructor: Reconstructor, photos: list[Path], out: Path) -> None:
    """As the command: read, frame, reconstruct and write a GLB and a picture of each."""
    pictures = [read_image(path) for path in photos]
    results = in_batches(reconstructor, [frame_photo(picture) for picture in pictures])
    for path, picture, result in zip(photos, pictures, results, strict=True):
        result.save_all(out / path.stem, picture)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], *map(int, sys.argv[3:]))

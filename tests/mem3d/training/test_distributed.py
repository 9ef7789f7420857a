"""Two processes do what one does with the same batches."""

import numpy as np
import pytest
import torch

from mem3d.data.readers.r2n2 import R2N2
from mem3d.training import distributed
from mem3d.training.distributed import ALONE, Replicas, _buckets, joined
from mem3d.training.trainer import train
from tests.helpers.distributed_worker import PRESET, steps, work


@pytest.fixture(scope="module")
def together(made_up_data, tmp_path_factory):
    """Folder in which two processes left what they found."""
    folder = tmp_path_factory.mktemp("replicas")
    torch.multiprocessing.spawn(work, (made_up_data, folder), nprocs=2)
    return folder


def found(folder, rank, what):
    with np.load(folder / f"{rank}-{what}.npz") as file:
        return dict(file)


def assert_equal(ours, theirs):
    assert ours.keys() == theirs.keys()
    for name, values in ours.items():
        np.testing.assert_array_equal(values, theirs[name], name)


def test_they_do_what_one_process_does(together, made_up_data):
    one = steps(made_up_data, ALONE)
    assert one["figures"][:, 2:].max(0).min() > 0  # triplets, and something was recalled
    assert one["writes"].sum(0).min() > 0  # every kind of write
    for rank in (0, 1):
        two = found(together, rank, "steps")
        for name in ("writes", "slots", "ages", "values", "sources"):
            np.testing.assert_array_equal(two.pop(name), one[name], name)
        for name, values in two.items():
            # Losses and keys are float32, so that a ReLU at 0 may fall either way: of a weight's
            # change in six steps little may differ as a whole, a single number much.
            apart = np.linalg.norm(values - one[name])
            assert apart <= 1e-2 * np.linalg.norm(one[name]) + 1e-9, name


@pytest.mark.parametrize("what", ["steps", "poses", "whole", "parts"])
def test_both_end_with_the_same_memory_and_weights_bit_for_bit(together, what):
    assert_equal(found(together, 0, what), found(together, 1, what))


def test_a_run_of_two_that_died_goes_on_exactly(together):
    parts, whole = found(together, 0, "parts"), found(together, 0, "whole")
    for name in ("figures", "writes"):
        whole[name] = whole[name][3:]  # the second epoch
    assert_equal(parts, whole)


def test_one_process_can_finish_what_two_began(together, made_up_data):
    data = R2N2.open(made_up_data, "train")
    assert train(data, None, together / "half", PRESET)["epoch"] == 2


def test_one_that_is_left_says_so(together):
    assert (together / "left.txt").read_text().startswith("processes: got no answer")


def test_one_that_runs_out_of_memory_says_that():
    with pytest.raises(torch.OutOfMemoryError), distributed._others():
        raise torch.OutOfMemoryError("CUDA out of memory")


def test_gradients_travel_in_runs_of_limited_size(monkeypatch):
    monkeypatch.setattr(distributed, "BUCKET", 10)
    weights = [torch.zeros(n) for n in (4, 6, 1, 20, 3)]
    assert [[len(w) for w in some] for some in _buckets(weights)] == [[4, 6], [1], [20], [3]]


def test_parts_make_up_the_batch():
    for count in (1, 2, 3, 7):
        for size in range(count, 12):
            parts = [list(Replicas(rank, count).part(range(size))) for rank in range(count)]
            assert sum(parts, []) == list(range(size))  # noqa: RUF017
            assert max(map(len, parts)) - min(map(len, parts)) <= 1
            assert min(map(len, parts)) > 0


def test_a_batch_of_less_than_an_image_each_is_refused(made_up_data, tmp_path):
    sets = R2N2.open(made_up_data, "train"), R2N2.open(made_up_data, "val")
    with pytest.raises(ValueError, match=r"batch: got 2 images .* for 3 processes"):
        train(*sets, tmp_path / "run", PRESET, replicas=Replicas(1, 3))


def test_without_torchrun_a_process_is_alone(monkeypatch):
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    with joined("cpu") as found_alone:
        assert found_alone == (ALONE, "cpu")
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(ValueError, match="device"), joined("cuda:1"):
        pass

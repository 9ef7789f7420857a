"""What a trained model learns by writing alone."""

import json
from dataclasses import asdict, replace

import numpy as np
import pytest
import torch

from mem3d.data.dataset import Subset
from mem3d.data.images.augment import Augmentation
from mem3d.data.readers.r2n2 import R2N2
from mem3d.evaluation.evaluate import NEAREST, score
from mem3d.evaluation.leakage import known_shapes
from mem3d.inference.reconstruct import reconstruct
from mem3d.network import checkpoint
from mem3d.network.features import View, encode, first_views, view_features
from mem3d.network.model import Mem3D
from mem3d.network.presets import TINY
from mem3d.runs.copy import copy_run
from mem3d.runs.folder import memorized_sources
from mem3d.runs.memorization import memorize, memorize_photo
from memstore import Memory, MemstoreError
from tests.helpers.r2n2_folder import blob, picture

LARGE = replace(TINY.memory, capacity=32, beta=0.5, delta=1.0)  # only equals merge


@pytest.fixture
def model():
    torch.manual_seed(0)
    return Mem3D(TINY.model).eval()


@pytest.fixture
def whole(made_up_data):
    """Eight models, two of which are the same shape."""
    return R2N2.open(made_up_data, "train")


@pytest.fixture
def data(whole):
    """Seven different shapes."""
    return Subset(whole, [0, 1, 2, 3, 4, 6, 7])


def one_by_one(model, data, views):
    """The contract in the dullest code: each view encoded alone and written alone."""
    memory = Memory(LARGE)
    for i in range(len(data)):
        for view in range(min(views, data.views(i))):
            [features] = view_features(model, data, [View(i, view)])
            memory.write(features, data.grid(i)[None], [data.shape_id(i)])
    return memory


@pytest.mark.parametrize("views", [1, 2, 24])
def test_batches_write_what_one_by_one_writes(model, whole, views):
    memory, naive, told = Memory(LARGE), one_by_one(model, whole, views), []
    done = memorize(
        model, memory, whole, views=views, batch=3, progress=lambda *done: told.append(done)
    )
    assert memory.sources == naive.sources
    assert memory.ages.tolist() == naive.ages.tolist()
    np.testing.assert_array_equal(memory.values(memory.slots), naive.values(naive.slots))
    np.testing.assert_allclose(memory.keys(memory.slots), naive.keys(naive.slots), atol=1e-5)
    pictures = len(whole) * min(views, 2)
    assert (done.pictures, done.written, done.silent) == (pictures, pictures, 0)
    assert (done.inserted, done.merged) == (len(naive), pictures - len(naive))
    assert (done.slots_before, done.slots_after, done.capacity) == (0, len(naive), 32)
    assert told[-1] == (pictures, pictures)


def test_variants_of_a_mesh_are_written_under_its_name(model, data, tmp_path, monkeypatch):
    names = ["a/m", "a/m-v01", "a/m-v02", "a/n-v03"]
    monkeypatch.setattr(data, "shape_id", lambda i: (names * 2)[i])
    memory = Memory(LARGE)
    memorize(model, memory, Subset(data, [0, 1, 2]))
    assert memory.sources == ["a/m"] * 3
    known = known_shapes(memory, Subset(data, [1, 3]), ["a/n-v01"])
    assert [(one.shape_id, one.by, one.stored) for one in known] == [
        ("a/m-v01", "name", "a/m"),
        ("a/n-v03", "training", "a/n"),
    ]
    record = {"kind": "memorised", "sources": ["a/m-v01", "a/n"]}  # as written by an older release
    (tmp_path / "run.json").write_text(json.dumps({"changes": [record]}))
    assert memorized_sources(tmp_path) == {"a/m", "a/n"}


def test_a_full_memory_evicts_and_says_so(model, data):
    memory = Memory(replace(LARGE, capacity=3))
    done = memorize(model, memory, data)
    assert (done.inserted, done.evicted, len(memory)) == (3, len(data) - 3, 3)
    assert done.merged + done.inserted + done.evicted == done.written


def test_what_was_memorized_is_recalled_and_scores(model, data, made_up_data):
    """A shape that training never saw: its photo, somewhat other than memorized, recalls it."""
    memory, new = Memory(LARGE), R2N2.open(made_up_data, "test")
    memorize(model, memory, data)
    before = score(model, memory, new).iou[NEAREST].mean()
    photo = new.image(1, 0)
    photo[..., :3] = (photo[..., :3] * 0.95).astype(np.uint8)
    [without] = reconstruct(model, memory, [photo], framed=True)
    assert new.shape_id(1) not in [prior.source for prior in without.priors]
    memorize(model, memory, new)
    [found] = reconstruct(model, memory, [photo], framed=True)
    assert found.priors[0].source == new.shape_id(1)
    np.testing.assert_array_equal(found.priors[0].grid, new.grid(1))
    assert score(model, memory, new).iou[NEAREST].mean() == 1 > before


def test_one_photo_is_recalled(model, data):
    memory = Memory(LARGE)
    memorize(model, memory, data)
    done = memorize_photo(model, memory, picture(77), blob(77), "mine/chair")
    assert (done.written, done.inserted, done.slots_before) == (1, 1, len(data))
    [found] = reconstruct(model, memory, [picture(77)], framed=True)
    assert found.priors[0].source == "mine/chair"
    assert found.priors[0].cosine == pytest.approx(1, abs=1e-5)


def test_what_cannot_be_memorized_changes_nothing(model, data):
    memory = Memory(LARGE)
    with pytest.raises(ValueError, match="no full voxel"):
        memorize_photo(model, memory, picture(0), np.zeros((32,) * 3, bool), "a")
    with pytest.raises(ValueError, match=r"shape \(16, 16, 16\), want a shape of 32\^3"):
        memorize_photo(model, memory, picture(0), np.ones((16,) * 3, bool), "a")
    with pytest.raises(MemstoreError, match="128"):
        memorize_photo(model, memory, picture(0), blob(0), "a" * 129)
    with pytest.raises(ValueError, match="views: got 0"):
        memorize(model, memory, data, views=0)
    with pytest.raises(ValueError, match="no usable model"):
        memorize(model, memory, Subset(data, []))
    assert memory.clock == 0


def test_a_picture_without_a_feature_is_not_written(model, data):
    for weight in model.encoder.head.parameters():
        torch.nn.init.zeros_(weight)
    memory = Memory(LARGE)
    done = memorize(model, memory, data)
    assert (done.written, done.silent, len(memory)) == (0, len(data), 0)
    with pytest.raises(ValueError, match="feature of zeros"):
        memorize_photo(model, memory, picture(0), blob(0), "a")


def test_encoding_leaves_the_mode_and_the_random_state(model, data):
    view = first_views(data, 0, 1)
    [want] = view_features(model, data, view)
    model.train()
    before = torch.get_rng_state(), model.encoder.head[1].running_mean.clone()
    [got] = view_features(model, data, view)
    np.testing.assert_array_equal(got, want)
    assert model.training and model.encoder.training
    assert torch.equal(torch.get_rng_state(), before[0])
    assert torch.equal(model.encoder.head[1].running_mean, before[1])


def test_a_mirrored_view_is_the_mirrored_picture(model, data):
    [pair] = view_features(model, data, [View(0, 0), View(0, 0, mirrored=True)])
    shown = []
    model.encoder.stem.register_forward_pre_hook(lambda _, images: shown.append(images[0]))
    list(view_features(model, data, [View(0, 0), View(0, 0, mirrored=True)]))
    assert torch.equal(shown[0][0].flip(-1), shown[0][1])
    assert not np.array_equal(pair[0], pair[1])
    assert encode(model, [np.zeros((3, 64, 64), np.uint8)]).shape == (1, TINY.model.feature_dim)


def test_a_photos_background_is_kept_where_training_had_some():
    photos = replace(TINY.train, augmentation=Augmentation(backgrounds="0" * 16))
    assert TINY.photo_background is None
    assert replace(TINY, train=photos).photo_background == "keep"


@pytest.fixture
def run(model, data, tmp_path):
    """A run folder whose memory holds two shapes."""
    with Memory.create(tmp_path / "run" / "memory", replace(LARGE, capacity=3)) as memory:
        memorize(model, memory, Subset(data, [0, 1]))
        snapshot = memory.commit("trained")
        preset = replace(TINY, memory=memory.config)
        state = checkpoint.State(
            preset=preset,
            step=7,
            snapshot=snapshot,
            validation_iou=0.5,
            best_iou=0.5,
            best_step=7,
        )
        checkpoint.save(tmp_path / "run" / "best.safetensors", state, model)
    return tmp_path / "run"


def files(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def memorizing(model, data, positions):
    def change(memory):
        done = memorize(model, memory, Subset(data, positions))
        names = [data.shape_id(i) for i in positions]
        return {"kind": "memorised", **asdict(done), "sources": names}

    return change


def test_a_copied_run_knows_more_and_the_first_stays_as_it_was(run, data, tmp_path):
    before = files(run)
    model, memory, state = checkpoint.load(run)
    made = copy_run(run, tmp_path / "more", model, memory, state, memorizing(model, data, [2]))
    assert files(run) == before
    copied, larger, read = checkpoint.load(tmp_path / "more")
    assert (read.snapshot, larger.snapshot) == (made.snapshot, made.snapshot)
    assert np.isnan(read.validation_iou)
    assert larger.sources == [data.shape_id(i) for i in (0, 1, 2)]
    assert larger.verify(every=True).problems == ()
    for name, weight in model.state_dict().items():
        assert torch.equal(weight, copied.state_dict()[name])


def test_merged_and_evicted_shapes_are_still_known(run, data, tmp_path):
    """Copy after copy: what was memorized and is gone from the memory counts as learned."""
    model, memory, state = checkpoint.load(run)
    assert memorized_sources(run) == set()
    copy_run(run, tmp_path / "a", model, memory, state, memorizing(model, data, [2, 3]))
    model, memory, state = checkpoint.load(tmp_path / "a")
    change = memorizing(model, data, [4, 5, 6])
    copy_run(tmp_path / "a", tmp_path / "b", model, memory, state, change)
    memory = checkpoint.load(tmp_path / "b")[1]
    learned = memorized_sources(tmp_path / "b")
    assert learned == {data.shape_id(i) for i in range(2, 7)}
    assert set(memory.sources) == {data.shape_id(i) for i in (4, 5, 6)}  # three slots
    assert [one.by for one in known_shapes(memory, data, learned)] == ["training"] * 2 + [
        "name"
    ] * 3


def test_a_larger_copy_evicts_nothing(run, data, tmp_path):
    model, memory, state = checkpoint.load(run)
    change = memorizing(model, data, [2, 3, 4])
    copy_run(run, tmp_path / "more", model, memory, state, change, capacity=5)
    _, memory, state = checkpoint.load(tmp_path / "more")
    assert memory.sources == [data.shape_id(i) for i in range(5)]
    assert memory.config == state.preset.memory == replace(LARGE, capacity=5)


@pytest.mark.parametrize("stop", [ValueError("broken"), KeyboardInterrupt()])
def test_a_copy_is_whole_or_not_there(run, stop, tmp_path):
    def change(memory):
        raise stop

    loaded = checkpoint.load(run)
    with pytest.raises(type(stop)):
        copy_run(run, tmp_path / "more", *loaded, change)
    assert [path.name for path in tmp_path.iterdir()] == ["run"]
    with pytest.raises(MemstoreError, match="exists"):
        copy_run(run, run, *loaded, change)


@pytest.mark.parametrize(
    "text", ['{"changes": 3}', '{"changes": [3]}', '{"changes": [{"sources": ["a"]}]}']
)
def test_a_damaged_description_is_an_error(text, tmp_path):
    (tmp_path / "run.json").write_text(text)
    with pytest.raises(ValueError, match=r"run\.json: got changes"):
        memorized_sources(tmp_path)


@pytest.mark.parametrize("text", ["", "[]", "{}"])
def test_without_a_description_nothing_was_memorized(text, tmp_path):
    assert memorized_sources(tmp_path / "none") == set()
    (tmp_path / "run.json").write_text(text)
    assert memorized_sources(tmp_path) == set()

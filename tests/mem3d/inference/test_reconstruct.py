"""Photos in; grids, meshes and pictures out."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from mem3d.data.images.framing import frame_object
from mem3d.data.images.preprocess import test_pixels as to_pixels
from mem3d.data.readers.r2n2 import R2N2
from mem3d.inference import figures
from mem3d.inference import reconstruct as module
from mem3d.inference.reconstruct import Prior, comparison, reconstruct
from mem3d.network.heads.pose import BINS
from mem3d.network.model import Mem3D
from mem3d.network.presets import TINY
from memstore import Memory
from tests.helpers.r2n2_folder import blob
from tests.helpers.r2n2_folder import picture as photo


@pytest.fixture
def trained():
    """A network that knows nothing, and a memory that holds one shape under a photo's feature."""
    torch.manual_seed(0)
    model = Mem3D(TINY.model).eval()
    memory = Memory(replace(TINY.memory, beta=0.99))
    with torch.inference_mode():
        image = torch.from_numpy(to_pixels(frame_object(photo(0)), 64))[None]
        memory.write(model.encoder(image).numpy(), blob(0)[None], ["made/0"])
    return model, memory


def test_the_recalled_shape_is_told(trained):
    [result] = reconstruct(*trained, [photo(0)])
    assert result.occupancy.shape == (32, 32, 32)
    assert ((result.occupancy > 0) & (result.occupancy < 1)).all()
    np.testing.assert_array_equal(result.grid, result.occupancy > 0.3)
    [prior] = result.priors
    assert (prior.source, prior.slot) == ("made/0", 0)
    assert prior.cosine == pytest.approx(1, abs=1e-4)
    np.testing.assert_array_equal(prior.grid, blob(0))


def test_photos_of_any_size_go_in_one_batch(trained):
    results = reconstruct(*trained, [photo(0), photo(1, side=50), photo(2, side=301)])
    assert [result.network_input.shape for result in results] == [(64, 64, 3)] * 3
    alone = reconstruct(*trained, [photo(1, side=50)])[0]
    np.testing.assert_allclose(results[1].occupancy, alone.occupancy, atol=1e-5)
    assert reconstruct(*trained, []) == []


@pytest.mark.parametrize("threshold", [0.0, 1.0, -1.0, float("nan")])
def test_thresholds_out_of_range_are_refused(trained, threshold):
    with pytest.raises(ValueError, match="threshold"):
        reconstruct(*trained, [photo(0)], threshold=threshold)


def test_a_picture_shows_photo_input_two_corners_and_priors(trained):
    [result] = reconstruct(*trained, [photo(0)])
    shape = replace(result, occupancy=blob(0).astype(np.float32))
    whole, without = shape.picture(photo(0)), shape.picture()
    assert whole.shape[0] > 2 * 137  # the priors are below
    assert whole.shape[1] - without.shape[1] == 137 + 8  # the photo
    assert whole.shape[1] == 4 * (137 + 8) + 8


def test_each_photos_camera_is_the_one_that_the_network_guessed(monkeypatch):
    torch.manual_seed(0)
    config = replace(TINY.model, pixel_features=True, refiner=4)
    model = Mem3D(config).eval()
    logits = torch.full((2, BINS + 4), -9.0)
    logits[0, 7], logits[1, 20] = 9.0, 9.0  # azimuths of 75 and 205 degrees: ten a bin
    logits[:, BINS:] = torch.tensor([[0.0, 1.0, 2.0, -1.0], [1.0, 0.0, 0.0, 0.0]])
    monkeypatch.setattr(model.viewpoint, "forward", lambda features: logits)
    results = reconstruct(model, Memory(TINY.memory), [photo(0), photo(1)])
    guesses = np.array([result.viewpoint for result in results])
    np.testing.assert_allclose(np.degrees(guesses[:, 0]), [75, 205], atol=0.5)
    np.testing.assert_allclose(guesses[0, 1:], [0.48, 0.9, 0.1, -0.05], atol=1e-6)  # by hand
    shape = replace(results[0], occupancy=blob(0).astype(np.float32))
    assert shape.picture().shape[1] == 4 * (137 + 8) + 8
    assert replace(shape, viewpoint=None).picture().shape[1] == 3 * (137 + 8) + 8

    logits[1, BINS] = torch.nan
    one, none = reconstruct(model, Memory(TINY.memory), [photo(0), photo(1)])
    assert one.viewpoint is not None and none.viewpoint is None


def test_recalled_shapes_are_captioned_by_their_category(trained, monkeypatch):
    [result] = reconstruct(*trained, [photo(0)])
    drawn = []
    monkeypatch.setattr(figures, "sheet", lambda rows, _, **more: drawn.extend(rows[-1]))
    prior = replace(
        result.priors[0], cosine=0.5, source="04530566/1f6e0fc9ed771d16bf389580f941a993"
    )
    replace(result, priors=(prior,)).picture()
    assert [tile.caption for tile in drawn] == ["1: watercraft, cos 0.50\n1f6e0fc9e…1a993"]


def test_a_comparison_shows_a_shape_once(trained, made_up_data, monkeypatch):
    """Also where the memory has several pictures of it: under one name, or with equal grids."""
    pairs = [(1, "chair/a"), (1, "chair/b"), (2, "chair/a"), (3, ""), (4, ""), (5, "table/c")]
    captions = [figures.caption_of(rank, 0.5, source) for rank, (_, source) in enumerate(pairs, 1)]
    priors = tuple(Prior(blob(seed), 0.5, source, i) for i, (seed, source) in enumerate(pairs))
    answer = replace(reconstruct(*trained, [photo(0)])[0], priors=priors)
    monkeypatch.setattr(module, "reconstruct", lambda *_, **more: [answer])
    monkeypatch.setattr(module, "sheet", lambda rows, **more: rows)
    [row] = comparison(*trained, R2N2.open(made_up_data, "test"), 1)
    assert [tile.caption for tile in row[3:]] == [captions[0], captions[3]]
    monkeypatch.setattr(figures, "_FIRST", 9)
    [row] = comparison(*trained, R2N2.open(made_up_data, "test"), 1)
    assert [tile.caption for tile in row[3:]] == [captions[i] for i in (0, 3, 4, 5)]
    assert len(answer._captioned()) == len(pairs)  # a photo's has them all


def test_an_empty_shape_has_a_picture(trained):
    [result] = reconstruct(*trained, [photo(0)])
    empty = replace(result, occupancy=np.zeros((32,) * 3, np.float32), priors=())
    assert empty.picture(photo(0)).dtype == np.uint8


def test_test_models_beside_their_truth(trained, made_up_data):
    data = R2N2.open(made_up_data, "test")
    few, many = (comparison(*trained, data, count) for count in (1, 4))
    assert many.shape[0] > 3 * few.shape[0] / 2

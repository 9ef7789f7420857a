"""Stem and head: sizes, loading, freezing."""

import re
from collections import OrderedDict
from importlib import import_module
from importlib.util import find_spec

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from mem3d.bundled import bundled_model
from mem3d.data.images.augment import MEAN, STD
from mem3d.inference.pretrained import load_folder
from mem3d.network.encoder import Encoder, build_stem, load_stem, normalize
from mem3d.network.presets import PAPER, TINY


def weights(module):
    return sum(weight.numel() for weight in module.parameters())


def test_the_papers_parameter_counts():
    encoder = Encoder(PAPER.model)
    assert weights(encoder.stem) == 1_444_928  # ResNet-50 to layer2, counted from its layer sizes
    assert weights(encoder.head) == 4_131_840


@pytest.mark.parametrize(("size", "side"), [(224, 28), (128, 16)])
def test_the_stem_divides_the_side_by_eight(size, side):
    with torch.inference_mode():
        assert build_stem().eval()(torch.zeros(1, 3, size, size)).shape == (1, 512, side, side)


def torchvision_models():
    """Its wheel for CUDA cannot be imported beside a torch without, unless operators are declared:

    "operator torchvision::nms does not exist", pytorch/vision#9077.
    """
    if find_spec("torchvision") is None:
        pytest.skip("compares with torchvision")
    try:
        return import_module("torchvision.models")
    except RuntimeError:
        for name in ("nms", "qnms"):
            OPERATORS.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        return import_module("torchvision.models")


OPERATORS = torch.library.Library("torchvision", "FRAGMENT")  # goes with the declarations


def test_the_stem_is_torchvisions_resnet_to_the_last_bit():
    """Names and order of the weights, outputs, gradients and running means, in both modes."""
    resnet = torchvision_models().resnet50(weights=None)
    names = [name for name, _ in build_stem().named_children()]
    theirs = nn.Sequential(OrderedDict((name, getattr(resnet, name)) for name in names))
    ours, images = build_stem(), torch.randn(2, 3, 64, 64)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    assert [str(child) for child in ours] == [str(child) for child in theirs]
    ours.load_state_dict(theirs.state_dict())
    for training in (True, False):
        maps = [stem.train(training)(images) for stem in (ours, theirs)]
        assert torch.equal(*maps)
        for output in maps:
            output.square().sum().backward()
        pairs = zip(ours.parameters(), theirs.parameters(), strict=True)
        assert all(torch.equal(a.grad, b.grad) for a, b in pairs)
        assert all(map(torch.equal, ours.state_dict().values(), theirs.state_dict().values()))


def test_random_weights_are_drawn_as_torchvision_draws_them():
    """He et al. 2015 by fan-out: deviation sqrt(2 / (outputs * kernel area))."""
    torch.manual_seed(0)
    stem = build_stem()
    assert stem.conv1.weight.std().item() == pytest.approx((2 / (64 * 49)) ** 0.5, rel=0.02)
    last = stem.layer2[3].conv2.weight
    assert last.std().item() == pytest.approx((2 / (128 * 9)) ** 0.5, rel=0.02)


def test_features_are_flat_and_not_negative():
    encoder = Encoder(TINY.model).eval()
    features = encoder(torch.randn(2, 3, 64, 64))
    assert features.shape == (2, TINY.model.feature_dim)
    assert (features >= 0).all()


@pytest.mark.parametrize("shape", [(2, 3, 65, 64), (3, 64, 64), (1, 1, 64, 64)])
def test_pictures_of_another_shape_are_refused(shape):
    with pytest.raises(ValueError, match="images"):
        Encoder(TINY.model)(torch.zeros(shape))


def test_a_frozen_stem_stays_as_it_is():
    encoder = Encoder(TINY.model)
    encoder.freeze_stem()
    before = {name: value.clone() for name, value in encoder.stem.state_dict().items()}
    encoder.train()(torch.randn(2, 3, 64, 64)).sum().backward()
    assert all(weight.grad is None for weight in encoder.stem.parameters())
    assert all(
        torch.equal(before[name], value) for name, value in encoder.stem.state_dict().items()
    )


def test_the_bundled_stem_is_that_of_the_bundled_model():
    stem, (model, *_) = build_stem(), load_folder(bundled_model())
    load_stem(stem, "bundled")
    weights = model.encoder.stem.state_dict()
    for name, weight in stem.state_dict().items():
        assert torch.equal(weight, weights[name]) and weight.dtype == weights[name].dtype, name


def test_a_stem_file_is_loaded_and_more_layers_do_no_harm(tmp_path):
    source, target = build_stem(), build_stem()
    save_file({**source.state_dict(), "layer3.0.conv1.weight": torch.ones(1)}, tmp_path / "s.st")
    load_stem(target, tmp_path / "s.st")
    assert all(
        torch.equal(value, target.state_dict()[name]) for name, value in source.state_dict().items()
    )


def test_stem_files_that_do_not_fit_are_refused_by_name(tmp_path):
    state = build_stem().state_dict()
    missing = {name: value for name, value in state.items() if name != "conv1.weight"}
    save_file(missing, tmp_path / "missing.st")
    save_file({**state, "conv1.weight": torch.zeros(1)}, tmp_path / "shape.st")
    (tmp_path / "garbage.st").write_bytes(b"\xff" * 100)
    for name in ("missing.st", "shape.st", "garbage.st", "absent.st"):
        with pytest.raises(ValueError, match=name):
            load_stem(build_stem(), tmp_path / name)


def test_a_failed_download_says_what_to_do(monkeypatch):
    def fail(*args, **kwargs):
        raise OSError("no network")

    monkeypatch.setattr("mem3d.network.encoder.load_state_dict_from_url", fail)
    with pytest.raises(ValueError, match="--stem PATH"):
        load_stem(build_stem(), "imagenet")


def test_a_download_is_told_of_on_stderr(monkeypatch, capsys):
    """Stdout may be a command's JSON."""

    def fetch(*args, **kwargs):
        print("Downloading")  # as torch.hub does
        return {**build_stem().state_dict(), "fc.weight": torch.zeros(1)}

    monkeypatch.setattr("mem3d.network.encoder.load_state_dict_from_url", fetch)
    load_stem(build_stem(), "imagenet")
    assert capsys.readouterr() == ("", "Downloading\n")


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_a_stem_with_numbers_that_are_not_finite_is_refused_by_name(tmp_path, number):
    state = build_stem().state_dict()
    state["layer2.0.conv1.weight"][0, 0] = number
    save_file(state, tmp_path / "stem.safetensors")
    with pytest.raises(ValueError, match=r"stem.safetensors: layer2.0.conv1.weight: .* not finite"):
        load_stem(build_stem(), tmp_path / "stem.safetensors")


def test_a_pickled_stem_is_told_with_the_lines_that_convert_it(tmp_path, monkeypatch):
    """As torchvision's file lies in torch's cache; the lines are run as they are told."""
    stem = build_stem()
    torch.save(stem.state_dict(), tmp_path / "r50.pth")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match="got a pickle") as caught:
        load_stem(build_stem(), "r50.pth")
    lines = re.findall("`(.*?)`", str(caught.value))
    assert len(lines) == 2
    exec("\n".join(lines), {})
    again = build_stem()
    load_stem(again, "r50.safetensors")
    assert all(map(torch.equal, again.state_dict().values(), stem.state_dict().values()))


def test_the_real_stem_loads(real_data):
    [path] = (real_data / "resnet50_v1").glob("*.safetensors")
    stem = build_stem()
    load_stem(stem, path)
    # A trained first BatchNorm is no longer the identity it starts as.
    assert not torch.equal(stem.bn1.running_var, torch.ones(64))


def test_bytes_are_normalized_to_the_last_bit():
    """Against numpy, all 256 levels of each channel: level / 255, less mean, over deviation."""
    levels = np.broadcast_to(np.arange(256, dtype=np.uint8).reshape(1, 1, 16, 16), (2, 3, 16, 16))
    mean, std = (part[:, None, None] for part in (MEAN, STD))
    want = (levels.astype(np.float32) / np.float32(255) - mean) / std
    actual = normalize(torch.from_numpy(levels.copy()))
    assert actual.dtype == torch.float32 and actual.numpy().tobytes() == want.tobytes()
    assert normalize(actual) is actual


def test_bytes_and_what_they_are_normalized_to_encode_alike():
    encoder = Encoder(TINY.model).eval()
    images = torch.randint(0, 256, (2, 3, 64, 64), dtype=torch.uint8)
    with torch.inference_mode():
        bytewise, floats = encoder.encode(images), encoder.encode(normalize(images))
    assert torch.equal(bytewise.features, floats.features)
    assert torch.equal(bytewise.images, floats.images)

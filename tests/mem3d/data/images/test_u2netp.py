"""The network that finds a photo's object."""

import hashlib
import subprocess
import sys

import numpy as np
import pytest

from mem3d.data.images import u2netp


@pytest.mark.parametrize("shape", [(1, 1), (1, 500), (8, 3000), (40, 60)])
def test_any_photo_is_seen_at_the_size_of_the_training(shape):
    likelihood = u2netp.saliency(np.full((*shape, 3), 128, np.uint8))
    assert max(likelihood.shape) == u2netp.SIDE
    assert likelihood.max() < 0.5  # one color is no object


def test_a_disc_on_a_lawn():
    y, x = np.mgrid[:160, :240]
    photo = np.full((160, 240, 3), (70, 140, 60), np.uint8)
    disc = (y - 80) ** 2 + (x - 120) ** 2 < 40**2
    photo[disc] = (200, 30, 30)
    likelihood = u2netp.saliency(photo)
    mask = likelihood[::4, ::4] > 0.5
    disc = disc[::3, ::3][: mask.shape[0], : mask.shape[1]]
    assert (mask & disc).sum() / (mask | disc).sum() > 0.9


def test_weights_that_rotted_are_refused(tmp_path, monkeypatch):
    content = bytearray(u2netp.FILE.read_bytes())
    content[len(content) // 2] ^= 1
    file = tmp_path / "u2netp.safetensors"
    file.write_bytes(content)
    monkeypatch.setattr(u2netp, "FILE", file)
    u2netp._layers.cache_clear()
    with pytest.raises(ValueError, match=r"u2netp\.safetensors: got SHA-256 .*install mem3d anew"):
        u2netp.saliency(np.zeros((9, 9, 3), np.uint8))
    u2netp._layers.cache_clear()


def test_the_notice_is_of_these_weights():
    assert hashlib.sha256(u2netp.FILE.read_bytes()).hexdigest() == u2netp.SHA256
    assert "Apache-2.0" in u2netp.FILE.with_name("NOTICE.md").read_text()
    assert "Apache License" in u2netp.FILE.with_name("LICENSE").read_text()


def test_a_photo_with_a_mask_does_not_load_it():
    code = (
        "import sys, numpy as np\n"
        "from mem3d.data.images.framing import frame_photo\n"
        "photo = np.zeros((60, 60, 4), np.uint8)\n"
        "photo[20:40, 20:40] = 255\n"
        "assert frame_photo(photo).background == 'masked'\n"
        "assert 'mem3d.data.images.u2netp' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)

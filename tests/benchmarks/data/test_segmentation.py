"""Masks drawn by hand lie on their photos."""

import json

from benchmarks.data.segmentation import DRAWN, drawn_photos


def test_masks_of_the_photos_at_hand(real_data, capsys):
    photos = drawn_photos([real_data / "photos_imagenet", real_data / "photos_masked"])
    assert len(photos) == 11  # eight, and three of scikit-image's
    for name, (rgb, mask) in photos.items():
        assert rgb.shape == (*mask.shape, 3), name
        assert 0.015 < mask.mean() < 0.9, name
    assert capsys.readouterr().out.count("in no folder") == len(json.loads(DRAWN.read_text())) - 11

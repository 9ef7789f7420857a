"""Devices that a user may name."""

import pytest
import torch

from mem3d.network.checkpoint import check_device


def test_a_word_that_is_no_device():
    with pytest.raises(ValueError) as told:
        check_device("gpu")
    assert str(told.value) == "device: got 'gpu', want cpu or cuda"


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_device_that_is_not_there():
    with pytest.raises(ValueError, match="want cpu or an available GPU"):
        check_device("cuda")


def test_the_cpu_will_do():
    assert check_device("cpu") == "cpu"

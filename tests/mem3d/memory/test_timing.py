"""Seconds of a step's phases."""

import time

import pytest

from mem3d.memory.timing import Timer


def test_time_adds_up_by_phase():
    timer = Timer("cpu", "read", "write")
    with timer("read"):
        time.sleep(0.002)
    once = timer.seconds
    assert once["read"] >= 0.002 and once["write"] == 0
    with timer("read"):
        time.sleep(0.002)
    assert timer.seconds["read"] >= once["read"] + 0.002


def test_a_phase_that_fails_takes_no_time():
    timer = Timer("cpu", "read")
    with pytest.raises(ValueError, match="broken"), timer("read"):
        raise ValueError("broken")
    assert timer.seconds == {"read": 0}

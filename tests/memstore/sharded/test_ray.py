"""Shards in Ray's actors: one session in a process of its own, where Ray is there and starts."""

import pytest

from tests.helpers.ray_process import PATIENCE, run_with_ray


@pytest.mark.timeout(PATIENCE + 30)
def test_a_session(tmp_path):
    """Answers, commits, a killed actor, a killed process: see tests/helpers/ray_session.py."""
    run_with_ray("tests.helpers.ray_session", tmp_path)

"""Commands through Ray: one session in a process of its own, where Ray is there and starts."""

import pytest

from tests.helpers.ray_process import PATIENCE, run_with_ray


@pytest.mark.slow
@pytest.mark.timeout(PATIENCE + 30)
def test_commands_make_the_same_in_workers(tmp_path):
    """Whole folders bit for bit, resumption, failures: see tests/helpers/ray_commands.py."""
    run_with_ray("tests.helpers.ray_commands", tmp_path)

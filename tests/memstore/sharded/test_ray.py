"""Shards in Ray's actors: one session in a process of its own, where Ray is there and starts."""

import importlib.util
import os
import signal
import subprocess
import sys

import pytest

if importlib.util.find_spec("ray") is None:
    pytest.skip("Ray is not installed; want the extra 'ray'", allow_module_level=True)

PATIENCE = 200  # seconds; mostly Ray's own start


@pytest.mark.timeout(PATIENCE + 30)
def test_a_session(tmp_path):
    """Answers, commits, a killed actor, a killed process: see tests/helpers/ray_session.py."""
    command = [sys.executable, "-m", "tests.helpers.ray_session", str(tmp_path)]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    try:
        printed, errors = process.communicate(timeout=PATIENCE)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)  # what it has started ends with it
        process.communicate()
        pytest.skip(f"Ray took more than {PATIENCE} s: the machine is busy")
    last = printed.strip().splitlines()[-1:] or [""]
    if last[0].startswith("cannot start"):
        pytest.skip(f"Ray {last[0]}")
    assert process.returncode == 0 and last == ["done"], errors[-3000:]

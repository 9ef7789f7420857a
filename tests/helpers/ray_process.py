"""A module that starts a real Ray, in a process of its own; skipped where it cannot."""

import importlib.util
import os
import signal
import subprocess
import sys

import pytest

PATIENCE = 200  # seconds; mostly Ray's own start


def run_with_ray(module, folder):
    """Run a module with a folder as its argument; it prints "done" at the end."""
    if importlib.util.find_spec("ray") is None:
        pytest.skip("Ray is not installed; want the extra 'ray'")
    command = [sys.executable, "-m", module, str(folder)]
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

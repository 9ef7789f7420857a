"""The interpreter waits a moment before it ends, where it needs to."""

import sys
import time

import pytest

from memstore.storage import backend


@pytest.mark.parametrize(("version", "waits"), [((3, 11, 7), True), ((3, 14, 0), False)])
def test_it_waits_before_python_3_14(monkeypatch, version, waits):
    asked = []
    monkeypatch.setattr(backend.atexit, "register", lambda *call: asked.append(call))
    monkeypatch.setattr(sys, "version_info", version)
    backend.wait_at_exit()
    assert asked == ([(time.sleep, backend.MOMENT)] if waits else [])

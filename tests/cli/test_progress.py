"""Long work says how far it is, also into a log."""

import os
import pty
import subprocess
import sys

import pytest

from mem3d_cli import progress
from mem3d_cli.options import progress_bar
from mem3d_cli.progress import epoch_line, step_note


@pytest.fixture
def clock(monkeypatch):
    seconds = [0.0]
    monkeypatch.setattr(progress, "monotonic", lambda: seconds[0])
    return seconds


def test_a_log_gets_a_line_a_minute(clock, capsys):
    with progress_bar(False, "training") as show:
        for step in range(1, 3001):
            clock[0] += 0.0625
            show(step, 3000, f"steps, bce {step}")
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.splitlines() == [
        f"training: {n:,} of 3,000 steps, bce {n}, {remaining} left"
        for n, remaining in ((960, "0:02:08"), (1920, "0:01:08"), (2880, "0:00:08"))  # by hand
    ]


def test_the_time_left_is_that_of_what_is_done_now(clock, capsys):
    """Work that went on from step 500, after pictures that took longer."""
    with progress_bar(False, "training") as show:
        for count in range(1, 11):
            clock[0] += 50
            show(count, 10, "pictures")
        for step in range(501, 622):
            clock[0] += 1
            show(step, 800)
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "training: 2 of 10 pictures, 0:06:40 left"
    assert lines[-2] == "training: 560 of 800, 0:04:00 left"
    assert lines[-1] == "training: 620 of 800, 0:03:00 left"


def test_work_that_has_just_begun_has_no_time_left(clock, capsys):
    with progress_bar(False, "training") as show:
        clock[0] += 61
        show(1, 9)
    assert capsys.readouterr().err == "training: 1 of 9\n"


def test_quiet_work_says_nothing(monkeypatch, capsys):
    monkeypatch.setattr(progress, "LINE_EVERY", -1.0)
    with progress_bar(True, "training") as show:
        show(1, 2)
    assert capsys.readouterr() == ("", "")
    with progress_bar(False, "training") as show:
        show(1, 2)
    assert capsys.readouterr().err == "training: 1 of 2\n"


def test_a_step_tells_its_epoch_and_its_loss():
    figures = {"loss": 1.25, "bce": 0.25, "hit_rate": 1.0}
    assert step_note(1, 30, 3, figures) == "steps, epoch 1 of 3, loss 1.2500"
    assert step_note(10, 30, 3, figures).startswith("steps, epoch 1 of 3")
    assert step_note(11, 30, 3, figures).startswith("steps, epoch 2 of 3")
    assert step_note(30, 30, 3, figures).startswith("steps, epoch 3 of 3")


def test_an_epoch_tells_its_loss_and_its_validation():
    row = {"epoch": 2, "step": 20, "loss": 1.25, "memory_slots": 1584, "seconds": 75.4}
    first = "epoch 2 of 3: loss 1.2500"
    assert epoch_line(row, 3) == f"{first}, not validated, slots in use 1,584, in 0:01:15"
    row |= {"val_iou": 0.4321, "val_iou_nearest": 0.3219, "val_hit_rate": 0.75}
    validated = "validation IoU 0.432, recalled first 0.322"
    assert epoch_line(row, 3) == f"{first}, {validated}, slots in use 1,584, in 0:01:15"
    row["val_iou_mean"] = None  # a shape broke
    assert validated in epoch_line(row, 3) and "mean" not in epoch_line(row, 3)
    row["val_iou_mean"] = 0.25
    assert f"{validated}, mean shapes 0.250," in epoch_line(row, 3)


SCRIPT = """
import typer
from mem3d_cli.options import progress_bar
with progress_bar(False, "training") as show:
    for step in range(1, 9):
        show(step, 8, "steps, epoch 3 of 12, loss 0.9573")
        if step == 4:
            typer.echo("epoch 2 of 12: loss 1.2500", err=True)
"""


def test_on_a_terminal_a_line_stays_above_the_bar():
    ours, theirs = pty.openpty()
    size = {"COLUMNS": "80", "LINES": "24", "TERM": "xterm"}
    with subprocess.Popen(
        [sys.executable, "-c", SCRIPT],
        stdout=subprocess.DEVNULL,
        stderr=theirs,
        env={**os.environ, **size},
    ) as process:
        os.close(theirs)
        shown = b""
        while True:
            try:
                part = os.read(ours, 4096)
            except OSError:  # the other end is closed
                break
            if not part:
                break
            shown += part
        assert process.wait() == 0
    os.close(ours)
    lines = shown.replace(b"\r", b"\n").split(b"\n")
    assert any(b"epoch 2 of 12: loss 1.2500" in line for line in lines)
    bars = [line for line in lines if b"steps, epoch 3 of 12, loss 0.9573" in line]
    assert bars and b"8/8" in bars[-1]

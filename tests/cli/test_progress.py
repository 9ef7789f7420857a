"""Long work says how far it is, also into a log."""

from mem3d_cli import progress
from mem3d_cli.options import progress_bar
from mem3d_cli.progress import Epochs


def test_a_log_gets_a_line_a_minute(monkeypatch, capsys):
    clock = [0.0]
    monkeypatch.setattr(progress, "monotonic", lambda: clock[0])
    with progress_bar(False, "training") as show:
        for step in range(1, 3001):
            clock[0] += 0.0625
            show(step, 3000, f"bce {step}")
    told = capsys.readouterr()
    assert told.out == ""
    lines = told.err.splitlines()
    assert lines == [f"training: {n:,} of 3,000, bce {n}" for n in (960, 1920, 2880)]


def test_quiet_work_says_nothing(monkeypatch, capsys):
    monkeypatch.setattr(progress, "LINE_EVERY", -1.0)
    with progress_bar(True, "training") as show:
        show(1, 2)
    assert capsys.readouterr() == ("", "")
    with progress_bar(False, "training") as show:
        show(1, 2)
    assert capsys.readouterr().err == "training: 1 of 2\n"


def test_a_training_tells_its_epoch_and_the_last_validation():
    told, figures = Epochs(3), {"bce": 0.25, "hit_rate": 1.0}
    assert told.note(1, 30, figures) == "epoch 1/3  bce 0.2500  hits 1.00"
    assert told.note(10, 30, figures).startswith("epoch 1/3")
    told.add({"epoch": 1, "val_iou": 0.4321})
    assert told.note(11, 30, figures) == "epoch 2/3  bce 0.2500  hits 1.00  val IoU 0.432"
    told.add({"epoch": 2})  # not validated
    assert told.note(30, 30, figures).endswith("epoch 3/3  bce 0.2500  hits 1.00  val IoU 0.432")

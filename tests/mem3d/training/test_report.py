"""Curves that can be read, and rows that reach TensorBoard: a made-up one, as it is optional."""

import sys
from dataclasses import replace
from types import ModuleType

import pytest

from mem3d.data.readers.r2n2 import R2N2
from mem3d.network.presets import TINY
from mem3d.training.report import curves
from mem3d.training.trainer import train


@pytest.fixture
def written(monkeypatch):
    calls = []

    class SummaryWriter:
        def __init__(self, folder, purge_step):
            calls.append((folder, purge_step))

        def add_scalar(self, name, value, step):
            calls.append((name, value, step))

        def flush(self):
            pass

        def close(self):
            calls.append("closed")

    module = ModuleType("torch.utils.tensorboard")
    module.SummaryWriter = SummaryWriter
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", module)
    return calls


def test_every_epoch_is_written_once(made_up_data, tmp_path, written, no_curves):
    sets = R2N2.open(made_up_data, "train"), R2N2.open(made_up_data, "val")
    rows = []
    train(*sets, tmp_path, TINY, tensorboard=True, on_epoch=lambda row: rows.append(dict(row)))
    assert written[0] == (str(tmp_path / "tensorboard"), 1)
    for row in rows:
        assert ("training/loss", row["loss"], row["epoch"]) in written
        assert ("validation/val_iou", row["val_iou"], row["epoch"]) in written
    assert written[-1] == "closed"
    assert len([call for call in written if call[0] == "training/loss"]) == len(rows) == 2


def test_without_the_package_its_name_is_said(made_up_data, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    data = R2N2.open(made_up_data, "train")
    preset = replace(TINY, train=replace(TINY.train, epochs=1))
    with pytest.raises(ValueError, match="want the package: pip install tensorboard"):
        train(data, None, tmp_path / "run", preset, tensorboard=True)
    assert not (tmp_path / "run").exists()


ROWS = [
    {"epoch": i, "loss": 2 / i, "bce": 1 / i, "val_iou": 0.1 * i, "val_iou_nearest": 0.2}
    | {"hit_rate": 1.0, "val_hit_rate": 0.9, "top_cosine": 0.8, "key_cosine": 0.7}
    | {"triplet_valid": 0.5, "memory_share": 0.1, "memory_slots": 9, "merged": 1, "inserted": 2}
    for i in range(1, 6)
]


@pytest.fixture
def figures(monkeypatch):
    """Each figure that would be saved; what it looks like is not drawn."""
    from matplotlib.figure import Figure

    saved = []
    monkeypatch.setattr(Figure, "savefig", lambda self, *_, **more: saved.append((self, more)))
    return saved


def test_the_category_mean_is_a_line_where_it_is_known(figures, tmp_path):
    curves(ROWS, tmp_path / "a.png")
    curves([row | {"val_iou_mean": 0.3} for row in ROWS], tmp_path / "a.png")
    without, beside = ({line.get_label() for line in f.axes[1].lines} for f, _ in figures)
    assert without == {"network", "recalled first"}
    assert beside - without == {"mean shape of the category"}
    [line] = [line for line in figures[1][0].axes[1].lines if line.get_linestyle() == "--"]
    assert line.get_ydata() == pytest.approx([0.3] * 5)


def test_a_lone_point_has_its_value_in_the_legend(figures, tmp_path):
    """As of what a memory was filled with once, and of all in a run of one epoch."""
    lone = {"merged": 1203, "evicted": 1203, "inserted": 0}
    rows = [{"epoch": i, "loss": 1 / i, "memory_slots": 9} for i in range(1, 6)]
    curves([rows[0] | lone, *rows[1:]], tmp_path / "a.png")
    curves([rows[0] | lone], tmp_path / "a.png")
    filled, single = (figure.axes[3] for figure, _ in figures)
    assert [line.get_label() for line in filled.lines] == [
        *("slots in use", "merged: 1,203", "inserted: 0", "evicted: 1,203")
    ]
    assert single.lines[0].get_label() == "slots in use: 9"
    assert figures[1][0].axes[0].lines[0].get_label() == "all terms: 1"
    markers = [line.get_marker() for line in filled.lines[1:]]
    assert len(set(markers)) == 3  # two that lie on each other are told apart
    assert all(line.get_markerfacecolor() == "none" for line in filled.lines[1:])
    assert all(line.get_markersize() >= 8 for line in (*filled.lines[1:], *single.lines))


def test_all_panels_have_the_same_whole_epochs(figures, tmp_path):
    validated = [row | {"val_iou": None} if row["epoch"] < 4 else row for row in ROWS]
    curves(validated, tmp_path / "a.png")
    curves(ROWS[:1], tmp_path / "a.png")
    for figure, _ in figures:
        assert len({axes.get_xlim() for axes in figure.axes}) == 1
        low, high = figure.axes[0].get_xlim()
        ticks = [tick for tick in figure.axes[0].get_xticks() if low <= tick <= high]
        assert ticks and all(tick == round(tick) for tick in ticks)


def test_a_panel_without_figures_says_so(figures, tmp_path):
    curves([{"epoch": 1, "loss": 2.0}], tmp_path / "a.png")
    words = [[text.get_text() for text in axes.texts] for axes in figures[0][0].axes]
    assert words == [[], ["nothing measured"], ["nothing measured"], ["nothing measured"]]


@pytest.mark.parametrize("epochs", [1, 5])
def test_legends_cover_no_data_and_are_read_at_800_pixels(epochs, figures, tmp_path):
    more = {"val_iou_mean": 0.3777, "triplet": 1.234, "evicted": 0, "memory_share": 0.2577}
    curves([row | more for row in ROWS[:epochs]], tmp_path / "a.png")
    [(figure, how)] = figures
    figure.set_dpi(how["dpi"])
    figure.draw_without_rendering()
    places = [axes.get_tightbbox() for axes in figure.axes]
    for axes in figure.axes:
        legend = axes.get_legend().get_window_extent()
        for other in figure.axes:
            assert not legend.overlaps(other.get_window_extent())
        assert legend.x0 >= 0 and legend.x1 <= 1100
        for text in (*axes.get_legend().get_texts(), axes.xaxis.label, axes.yaxis.label):
            assert text.get_text()
            assert text.get_fontsize() / 72 * 110 * 800 / 1100 >= 12  # pixels
    assert not any(a.overlaps(b) for i, a in enumerate(places) for b in places[:i])

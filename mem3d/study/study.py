"""Ablations: the same network, budget and seeds, with one thing changed at a time.

    OUT/runs/<variant>-s<seed>/      an ordinary run folder
    OUT/results/<variant>-s<seed>.json   what it scored; a run without one is not finished
    OUT/table.md, table.json, plot.png   made from all results there are

One file per result: several processes may work on one study (worker.py), and each finds what
the others have done.
"""

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from mem3d.bundled import STEM
from mem3d.data.dataset import ShapeDataset
from mem3d.data.images.backgrounds import Backgrounds
from mem3d.data.loader import BatchSampler
from mem3d.network.checkpoint import BEST, LAST, State, read_state
from mem3d.network.config import Preset
from mem3d.study.variants import equivalent_variants, variants
from mem3d.training.schedule import is_stale
from mem3d.training.state import TrainingJob
from memstore.files import write_atomic
from memstore.json_text import read_json

MOST_HIDDEN = 0.95  # share of an object

RESULTS, RUNS = "results", "runs"

UNSEEN, MEMORIZED = "unseen", "memorised"  # subsets: the same models, before and after memorizing
MEMORIZED_VIEWS = 4  # pictures of each shape that are memorized

_PRINTS = ("data", "test_data", "unseen_data")  # what `Study.fingerprints` may hold

Keep = Literal["none", "best", "all"]  # of a finished run
RunStatus = Literal["new", "begun", "to score", "done"]
Result = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Unseen:
    """A source of shapes that no run learns from.

    Attributes:
        to_memorize: models that each trained network's memory is given, without a gradient.
        to_score: others, to score before and after it.
    """

    to_memorize: ShapeDataset
    to_score: ShapeDataset


@dataclass(frozen=True, kw_only=True)
class Study:
    """What is compared, on what.

    Attributes:
        folder: of the study.
        base: what is changed in one thing at a time; its seed gives way to each run's.
        learning: models to learn from.
        validation: models that choose each run's best epoch and are always scored.
        test: models to score besides, None for none; they choose nothing.
        shares: of each object to hide, ascending from 0.
        stem: see `encoder.load_stem`.
        device: where the networks compute.
        keep: of a finished run: nothing, the best checkpoint with its memory, or also the last one,
            which is the larger.
        backgrounds: photos to lay the pictures over that are learned from, see `training.train`.
        unseen: what each run meets only when it has learned; None for none.
        views: pictures of each model to score, from view 00 on, >= 1; scores are their mean.

    Raises:
        ValueError: there is nothing to learn from or to score, or a share is out of range.
    """

    folder: Path
    base: Preset
    learning: ShapeDataset
    validation: ShapeDataset
    test: ShapeDataset | None = None
    shares: tuple[float, ...] = (0.0, 0.4)
    stem: str | Path = STEM
    device: str = "cpu"
    keep: Keep = "best"
    backgrounds: Backgrounds | None = None
    unseen: Unseen | None = None
    views: int = 1

    def __post_init__(self) -> None:
        in_range = all(0 <= share <= MOST_HIDDEN for share in self.shares)
        if not in_range or list(self.shares) != sorted({0.0, *self.shares}):
            raise ValueError(
                f"hide: got {self.shares}, want 0 and shares up to {MOST_HIDDEN}, ascending"
            )
        if self.views < 1:
            raise ValueError(f"views: got {self.views}, want >= 1")
        for name, data in self._everything().items():
            if not len(data):
                raise ValueError(f"{data.root}: got no usable {name} model, want at least 1")

    def fingerprints(self) -> dict[str, str]:
        """Of the models learned from and chosen on, tested on, and unseen; for the results."""
        jobs = {"data": _job(self, self.learning, self.validation)}
        if self.test is not None:
            jobs["test_data"] = _job(self, self.test)
        if self.unseen is not None:
            jobs["unseen_data"] = _job(self, self.unseen.to_memorize, self.unseen.to_score)
        return {name: job.fingerprint() for name, job in jobs.items()}

    def subsets(self) -> dict[str, ShapeDataset]:
        """Name -> models that each run is scored on."""
        subsets = {"val": self.validation} | ({} if self.test is None else {"test": self.test})
        if self.unseen is not None:
            subsets |= dict.fromkeys((UNSEEN, MEMORIZED), self.unseen.to_score)
        return subsets

    def _everything(self) -> dict[str, ShapeDataset]:
        """Name -> models, none of which may be empty."""
        sets = {"train": self.learning} | self.subsets()
        return sets | ({} if self.unseen is None else {"to memorize": self.unseen.to_memorize})


@dataclass(frozen=True)
class StudyRun:
    """One run of a study: a variant and a seed."""

    variant: str
    seed: int
    preset: Preset

    @property
    def name(self) -> str:
        """Of its folder and its result."""
        return f"{self.variant}-s{self.seed}"


def study_runs(study: Study, names: tuple[str, ...], seeds: range) -> list[StudyRun]:
    """The runs that some variants need, seed by seed; equal ones once, as the first of them."""
    first = equivalent_variants(study.base, len(study.learning))
    needed = dict.fromkeys(first[name] for name in first if name in names)
    return [study_run(study, name, seed) for seed in seeds for name in needed]


def study_run(study: Study, name: str, seed: int) -> StudyRun:
    """The run of a variant and a seed."""
    preset = variants(len(study.learning))[name](study.base)
    train = replace(preset.train, seed=seed)
    if train.cached_views:  # all runs share run cache of pictures
        train = replace(train, view_seed=study.base.train.seed)
    return StudyRun(name, seed, replace(preset, train=train))


def run_folder(study: Study, run: StudyRun) -> Path:
    """Where a run lives."""
    return study.folder / RUNS / run.name


def run_status(study: Study, run: StudyRun) -> RunStatus:
    """How far a run is.

    Raises:
        ValueError: its result or its run is of other settings or other data, or cannot be read; or
            its result lacks something that no checkpoint is left to score.
    """
    result, folder = read_result(study, run), run_folder(study, run)
    if result is not None and not missing(study, result):
        return "done"
    has_best = (folder / BEST).exists()
    if result is not None and not has_best:
        lacking = ", ".join(f"{name} {share:.0%} hidden" for name, share in missing(study, result))
        path = study.folder / RESULTS / f"{run.name}.json"
        raise ValueError(
            f"{path}: got no checkpoint to score what it lacks ({lacking}), want {folder / BEST}; "
            "delete the result to train the run again"
        )
    has_last = result is None and (folder / LAST).exists()  # that of a finished run may be deleted
    if not has_last and not has_best:
        return "new"
    state = read_state(folder / (LAST if has_last else BEST), resuming=True)
    check_own(study, run, state)
    train = run.preset.train
    sampler = BatchSampler(len(study.learning), train.batch, train.epochs, seed=train.seed)
    is_over = is_stale(train, sampler.steps_per_epoch, state.step, state.best_step)
    if has_last and state.step < sampler.steps and not is_over:
        return "begun"
    return "to score"


def check_own(study: Study, run: StudyRun, state: State) -> None:
    """Raise ValueError unless the checkpoint in a run's folder is of that run."""
    data = study.fingerprints()["data"]
    if state.preset != run.preset or state.data not in ("", data):
        raise ValueError(
            f"{run_folder(study, run)}: got a run of other settings or on other models, want this "
            "study's; choose another folder for the study, or delete the run"
        )


def missing(study: Study, result: Result) -> list[tuple[str, float]]:
    """Subsets and hidden shares that a result lacks."""
    return [
        (name, share)
        for name in study.subsets()
        for share in study.shares
        if share_key(share) not in result.get(name, {})
    ]


def share_key(share: float) -> str:
    """A hidden share as a result names it."""
    return f"{share:g}"


def read_result(study: Study, run: StudyRun) -> Result | None:
    """What a run scored; None if it has not finished.

    Raises:
        ValueError: it cannot be read, or is of other settings or other models.
    """
    path = study.folder / RESULTS / f"{run.name}.json"
    try:
        if not path.exists():
            return None
        result: Result = read_json(path)
        preset = Preset.from_dict(result["preset"], resuming=True)
        prints = {name: result[name] for name in _PRINTS if name in result}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        reason = str(error).removeprefix(f"{path}: got ")
        raise ValueError(f"{path}: got {reason}, want a study's result; delete it") from error
    is_blended = result.get("blend") is not None  # by an earlier version
    if preset != run.preset or is_blended or result.get("views", 1) != study.views:
        raise ValueError(
            f"{path}: got a result of other settings, want those of this study; choose another "
            "folder for another preset or number of epochs, for other views"
        )
    want = study.fingerprints()
    if any(prints[name] != want[name] for name in prints if name in want):
        raise ValueError(
            f"{path}: got a result on other models or another split, want the data of this study, "
            "unchanged; choose another folder for other data"
        )
    return result


def write_result(study: Study, run: StudyRun, result: Result) -> None:
    """Write down what a run scored; from then on it is done."""
    folder = study.folder / RESULTS
    folder.mkdir(parents=True, exist_ok=True)
    write_atomic(folder / f"{run.name}.json", json.dumps(result, indent=1).encode())


def _job(study: Study, data: ShapeDataset, validation: ShapeDataset | None = None) -> TrainingJob:
    return TrainingJob(data, validation, study.folder, study.base, study.device)

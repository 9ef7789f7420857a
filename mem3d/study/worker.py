"""Doing a study's runs: train, score, write down, clear away.

A run that another process has in work is passed over, and so is one that diverges.
"""

import fcntl
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

from mem3d.network.checkpoint import LAST
from mem3d.network.encoder import Encoder, load_stem
from mem3d.study.scoring import Tell, score_run
from mem3d.study.study import (
    RUNS,
    Study,
    StudyRun,
    read_result,
    run_folder,
    run_status,
    write_result,
)
from mem3d.training.batches import training_views
from mem3d.training.stem_cache import StemCache
from mem3d.training.step import DivergedError
from mem3d.training.trainer import train
from memstore import LockedError


def run_study(
    study: Study,
    runs: list[StudyRun],
    *,
    on_step: Callable[[int, str], None] | None = None,
    on_result: Callable[[], object] | None = None,
) -> dict[str, str]:
    """Train and score the runs that are not done; interrupted ones go on where they were.

    Args:
        study: what is compared.
        runs: from `study.study_runs`.
        on_step: called with the number of runs behind and a line on that in work.
        on_result: called after each run that was finished here.

    Returns:
        names of the runs that were passed over, and why.

    Raises:
        ValueError: a result or a run is of other settings; or as `training.train`.
    """
    passed_over: dict[str, str] = {}
    cache: StemCache | None = None
    for behind, run in enumerate(runs):

        def tell(note: str, behind: int = behind, name: str = run.name) -> None:
            if on_step:
                on_step(behind, f"{name}: {note}")

        try:
            with _claimed(study, run):
                status = run_status(study, run)
                tell(status)
                if status == "done":
                    continue
                if status != "to score":
                    cache = cache or _cache(study, run, tell)
                    _train(study, run, cache, tell)
                _finish(study, run, tell)
        except LockedError:
            passed_over[run.name] = "another process has it in work"
        except DivergedError as error:
            passed_over[run.name] = str(error)
        else:
            if on_result:
                on_result()
    return passed_over


@contextmanager
def _claimed(study: Study, run: StudyRun) -> Iterator[None]:
    """Hold a run, so that no other process trains, scores or deletes it; LockedError if one has.

    The file stays: were it deleted, two processes could hold two files of one name.
    """
    path = study.folder / RUNS / f".{run.name}.lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise LockedError(f"{path}: another process has it") from error
        try:
            yield
        finally:
            fcntl.flock(lock, fcntl.LOCK_UN)  # for loader processes too, which hold the file open


def _cache(study: Study, run: StudyRun, tell: Tell) -> StemCache | None:
    """The maps that all runs share, made by whichever process comes first."""
    if not run.preset.train.cached_views:
        return None
    encoder = Encoder(study.base.model)
    load_stem(encoder.stem, study.stem)
    encoder.freeze_stem()
    encoder.to(study.device)
    study.folder.mkdir(parents=True, exist_ok=True)
    with (study.folder / ".stem_maps.lock").open("w") as lock:
        tell("waiting for the stem's maps")
        fcntl.flock(lock, fcntl.LOCK_EX)
        return StemCache.build(
            encoder,
            training_views(
                study.learning, replace(run.preset, model=study.base.model), study.backgrounds
            ),
            run.preset.train.cached_views,
            batch=run.preset.train.batch,
            workers=run.preset.train.workers,
            precision=run.preset.train.precision,
            file=study.folder / "stem_maps.npy",
            progress=lambda number, total: tell(f"{number}/{total} pictures through the stem"),
        )


def _train(study: Study, run: StudyRun, cache: StemCache | None, tell: Tell) -> None:
    """The one place where a study trains."""
    train(
        study.learning,
        study.validation,
        run_folder(study, run),
        run.preset,
        stem=study.stem,
        device=study.device,
        backgrounds=study.backgrounds,
        cache=cache,
        head_cache=study.folder,
        on_pretrain=lambda number, total, what: tell(f"{number}/{total} {what}"),
        on_step=lambda number, total, row: tell(f"step {number}/{total}, bce {row['bce']:.3f}"),
    )


def _finish(study: Study, run: StudyRun, tell: Tell) -> None:
    """Score and write down; a run that has its first result is cleared away."""
    is_first = read_result(study, run) is None  # else what is there was meant to stay
    write_result(study, run, score_run(study, run, tell))
    if is_first:
        _clear_away(study, run)


def _clear_away(study: Study, run: StudyRun) -> None:
    """Delete of a finished run what the study does not keep."""
    if study.keep == "none":
        shutil.rmtree(run_folder(study, run), ignore_errors=True)
    elif study.keep == "best":
        (run_folder(study, run) / LAST).unlink(missing_ok=True)

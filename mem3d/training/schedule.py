"""Learning rate and patience of a run."""

import math

import torch

from mem3d.network.config import TrainConfig


def learning_rate(config: TrainConfig, step: int, steps: int) -> float:
    """Rate of an optimizer step.

    Args:
        config: "halve" halves the rate once for each share of the run that is behind it; "cosine"
            takes it from the full rate to 0 over the run. Meanwhile `warmup` steps let it grow
            from nothing, evenly.
        step: steps before this one.
        steps: of the whole run.

    Source: cosine without restarts, Loshchilov and Hutter 2017, eq. 5.
    """
    progress = step / steps
    if config.schedule == "cosine":
        factor = (1 + math.cos(math.pi * progress)) / 2
    else:
        factor = 0.5 ** sum(progress >= share for share in config.halve_at)
    if step < config.warmup:
        factor *= (step + 1) / config.warmup
    return config.learning_rate * factor


def is_stale(config: TrainConfig, steps_per_epoch: int, step: int, best_step: int) -> bool:
    """Whether patience is at an end.

    Args:
        config: how often a run is validated, and its patience.
        steps_per_epoch: see `BatchSampler`.
        step: steps so far, which end an epoch.
        best_step: of the best validation so far; below 0 if there was none.
    """
    steps_per_validation = steps_per_epoch * config.validate_every
    validations = step // steps_per_validation - max(0, best_step) // steps_per_validation
    return 0 < config.patience <= validations


def set_learning_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Set the rate of all weights."""
    for group in optimizer.param_groups:
        group["lr"] = rate

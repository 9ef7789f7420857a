"""Learning rate and patience of a run."""

import math
from dataclasses import dataclass

from mem3d.network.config import TrainConfig


@dataclass(frozen=True)
class Pace:
    """The count of one run over so many models."""

    models: int
    config: TrainConfig

    @property
    def steps_per_epoch(self) -> int:
        """Batches that show every model once; the last may be smaller."""
        return -(-self.models // self.config.batch)

    @property
    def steps(self) -> int:
        """Optimizer steps of the whole run, unless it ends early."""
        return self.steps_per_epoch * self.config.epochs

    def is_stale(self, step: int, best_step: int) -> bool:
        """Whether patience is at an end, after `step` optimizer steps that end an epoch.

        Args:
            step: optimizer steps done.
            best_step: of the best validation so far; below 0 if there was none.
        """
        every, patience = self.config.validate_every, self.config.patience
        validations, best = (
            max(0, done) // self.steps_per_epoch // every for done in (step, best_step)
        )
        return 0 < patience <= validations - best


def learning_rate(config: TrainConfig, step: int, steps: int) -> float:
    """Rate of an optimizer step.

    Args:
        config: "halve" halves the rate once for each share of the run that is behind it; "cosine"
            takes it from the full rate to 0 over the run. Meanwhile `warmup` steps let it grow
            from nothing, evenly.
        step: steps done before this one.
        steps: of the whole run.

    Source: cosine without restarts, Loshchilov and Hutter 2017, eq. 5.
    """
    done = step / steps
    if config.schedule == "cosine":
        factor = (1 + math.cos(math.pi * done)) / 2
    else:
        factor = 0.5 ** sum(done >= share for share in config.halve_at)
    if step < config.warmup:
        factor *= (step + 1) / config.warmup
    return config.learning_rate * factor

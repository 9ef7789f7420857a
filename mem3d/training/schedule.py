"""How the forwards, optimizer steps and epochs of a run count into each other.

A forward takes one batch. An optimizer step follows after `accumulate` of them, or fewer at the end
of an epoch: no step spans two epochs, so that every epoch ends where a run can be resumed.
"""

import math
from dataclasses import dataclass

from mem3d.network.config import TrainConfig


@dataclass(frozen=True)
class Part:
    """Where a forward stands in its optimizer step.

    Attributes:
        share: of the step's images, in (0, 1]; its gradient counts so much.
        is_first: gradients begin anew.
        is_last: the weights change after it.
    """

    share: float = 1.0
    is_first: bool = True
    is_last: bool = True


WHOLE = Part()


@dataclass(frozen=True)
class Pace:
    """The count of one run over so many models."""

    models: int
    config: TrainConfig

    @property
    def forwards_per_epoch(self) -> int:
        """Batches that show every model once; the last may be smaller."""
        return -(-self.models // self.config.batch)

    @property
    def steps_per_epoch(self) -> int:
        """Optimizer steps."""
        return -(-self.forwards_per_epoch // self.config.accumulate)

    @property
    def steps(self) -> int:
        """Optimizer steps of the whole run, unless it ends early."""
        return self.steps_per_epoch * self.config.epochs

    def forwards_before(self, step: int) -> int:
        """Forwards of the run before an optimizer step begins."""
        epoch, within = divmod(step, self.steps_per_epoch)
        return epoch * self.forwards_per_epoch + within * self.config.accumulate

    def part(self, forward: int) -> Part:
        """Place of a forward, counted from the start of the run, in its optimizer step."""
        within, batch = forward % self.forwards_per_epoch, self.config.batch
        first = within - within % self.config.accumulate
        after = min(first + self.config.accumulate, self.forwards_per_epoch)
        images = min(batch, self.models - within * batch)
        all_images = min(after * batch, self.models) - first * batch
        return Part(images / all_images, within == first, within == after - 1)

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

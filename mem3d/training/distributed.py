"""Several processes that train one network, as one process would on the same batches.

Each takes its part of every batch. Sums over a batch (BatchNorm's, the losses', the gradients') go
over all processes, so that all take the same step. What is to be written is gathered in batch
order, and every process writes all of it to a memory of its own: the memories stay equal.

torchrun starts the processes: gloo joins them on CPUs, NCCL on GPUs.
"""

# P = processes, B = images of one of them, C = channels

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

import torch
from torch import Tensor, distributed, nn
from torch.autograd.function import once_differentiable

TIMEOUT = timedelta(minutes=30)  # a process may validate, or fill a stem cache, for so long
BUCKET = 2**23  # numbers of a message of gradients
T = TypeVar("T")


@dataclass(frozen=True)
class Replicas:
    """This process among those that train together; by itself, it is the first of one."""

    rank: int = 0
    count: int = 1

    @property
    def is_first(self) -> bool:
        """Whether this process owns the folder: it validates, logs and saves for all."""
        return self.rank == 0

    def part(self, batch: Sequence[T]) -> Sequence[T]:
        """This process's run of a batch's samples; parts differ by one sample at most."""
        low, high = (len(batch) * rank // self.count for rank in (self.rank, self.rank + 1))
        return batch[low:high]

    def wait(self) -> None:
        """Return once all have come here."""
        if self.count > 1:
            with _others():
                distributed.barrier()

    def total(self, numbers: Mapping[str, float], device: str) -> dict[str, float]:
        """Sums over the processes, which all name the same numbers in the same order."""
        if self.count == 1:
            return dict(numbers)
        sums = torch.tensor(list(numbers.values()), dtype=torch.float64, device=device)
        return dict(zip(numbers, _summed(sums).tolist(), strict=True))

    def gather(self, rows: Tensor, device: str) -> Tensor:
        """(sum of B, ...) rows of all processes in order of rank, on the CPU; B may differ."""
        if self.count == 1:
            return rows
        rows = rows.detach().to(device).contiguous()
        sizes = [torch.zeros(1, dtype=torch.int64, device=device) for _ in range(self.count)]
        with _others():
            distributed.all_gather(sizes, torch.tensor([len(rows)], device=device))
            counts = [int(size) for size in sizes]
            padded = rows.new_zeros((max(counts), *rows.shape[1:]))
            padded[: len(rows)] = rows
            parts = [torch.empty_like(padded) for _ in counts]
            distributed.all_gather(parts, padded)
        return torch.cat([part[:n] for part, n in zip(parts, counts, strict=True)]).cpu()

    def add_gradients(self, weights: Sequence[Tensor]) -> None:
        """Give each weight the sum of its gradients in all processes."""
        if self.count == 1:
            return
        for some in _buckets(weights):
            for weight in some:
                weight.grad = torch.zeros_like(weight) if weight.grad is None else weight.grad
            grads = [weight.grad for weight in some if weight.grad is not None]
            flat = _summed(torch.cat([grad.reshape(-1) for grad in grads]))
            totals = torch.split(flat, [grad.numel() for grad in grads])
            for grad, total in zip(grads, totals, strict=True):
                grad.copy_(total.view(grad.shape))  # keeps the weight's memory layout


ALONE = Replicas()


@contextmanager
def joined(device: str) -> Iterator[tuple[Replicas, str]]:
    """Join the processes that torchrun started; without torchrun, this one is alone.

    Args:
        device: "cpu", or "cuda" for a GPU each.

    Yields:
        this process among them, and its device.

    Raises:
        ValueError: one GPU was named for all processes, or this process has none.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:  # torchrun's; so is LOCAL_RANK
        yield ALONE, device
        return
    if device.startswith("cuda"):
        if device != "cuda":
            raise ValueError(f"device: got {device!r} for several processes, want 'cuda'")
        local, gpus = int(os.environ["LOCAL_RANK"]), torch.cuda.device_count()
        if local >= gpus:
            raise ValueError(f"device: got {gpus} GPUs, want one per process; start fewer")
        device = f"cuda:{local}"
        torch.cuda.set_device(device)
    with _others():
        distributed.init_process_group("nccl" if device != "cpu" else "gloo", timeout=TIMEOUT)
    try:
        yield Replicas(distributed.get_rank(), distributed.get_world_size()), device
    finally:
        distributed.destroy_process_group()


@contextmanager
def _others() -> Iterator[None]:
    """What torch says of a lost connection, in our words."""
    try:
        yield
    except torch.OutOfMemoryError:  # a RuntimeError too, but of this process alone
        raise
    except RuntimeError as error:
        first = str(error).splitlines()[0]
        raise ValueError(
            f"processes: got no answer from another ({first}), want all of them to live; see what "
            "that one said and start them again: the run goes on from its last checkpoint"
        ) from error


def _summed(tensor: Tensor) -> Tensor:
    """Sum of a contiguous tensor over all processes, the same bits in each."""
    total = tensor.clone()
    with _others():
        distributed.all_reduce(total)
    return total


def _buckets(weights: Sequence[Tensor]) -> Iterator[list[Tensor]]:
    """Runs of weights of BUCKET numbers at most, or of one: fewer, larger messages."""
    some: list[Tensor] = []
    for weight in weights:
        if some and sum(w.numel() for w in some) + weight.numel() > BUCKET:
            yield some
            some = []
        some.append(weight)
    if some:
        yield some


class _Sum(torch.autograd.Function):
    """`_summed` with a gradient: what is added up passes on the sum of the gradients."""

    @staticmethod
    def forward(ctx: Any, tensor: Tensor) -> Tensor:
        return _summed(tensor.contiguous())

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        return _summed(grad.contiguous())


def share_norms(model: nn.Module, device: str) -> None:
    """Let the BatchNorm layers of a model count all processes' images; weights stay as they are."""
    if device != "cpu":
        nn.SyncBatchNorm.convert_sync_batchnorm(model)  # type: ignore[no-untyped-call]
        return
    for parent in list(model.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, nn.BatchNorm2d | nn.BatchNorm3d):
                setattr(parent, name, SharedNorm(child))


class SharedNorm(nn.modules.batchnorm._BatchNorm):
    """BatchNorm over the images of all processes, for CPUs: torch's SyncBatchNorm wants GPUs.

    Source: as `torch.nn.BatchNorm2d` on the whole batch.
    """

    def __init__(self, norm: nn.BatchNorm2d | nn.BatchNorm3d) -> None:
        super().__init__(norm.num_features, norm.eps, norm.momentum)
        self.weight, self.bias = norm.weight, norm.bias
        for name, values in norm.named_buffers():
            setattr(self, name, values)
        self.train(norm.training)

    def _check_input_dim(self, input: Tensor) -> None:
        """Any number of axes will do."""

    def forward(self, input: Tensor) -> Tensor:
        """Normalize (B, C, ...) to mean 0 and variance 1 over all but C, in every process."""
        if not self.training:
            return super().forward(input)
        axes = [0, *range(2, input.ndim)]
        wide = input.to(torch.promote_types(input.dtype, torch.float32))
        each = (1, -1) + (1,) * (input.ndim - 2)
        own = wide.new_tensor([input.numel() / input.shape[1]])
        sums = _Sum.apply(torch.cat([wide.sum(axes), own]))  # type: ignore[no-untyped-call]
        mean, count = sums[:-1] / sums[-1], sums[-1].detach()
        centered = wide - mean.view(each)
        squares: Tensor = _Sum.apply(centered.square().sum(axes))  # type: ignore[no-untyped-call]
        variance = squares / count
        with torch.no_grad():
            unbiased = squares / (count - 1)
            self.running_mean.lerp_(mean, self.momentum)  # type: ignore[union-attr, arg-type]
            self.running_var.lerp_(unbiased, self.momentum)  # type: ignore[union-attr, arg-type]
            self.num_batches_tracked.add_(1)  # type: ignore[union-attr]
        scale = self.weight / (variance + self.eps).sqrt()
        shifted: Tensor = centered * scale.view(each) + self.bias.view(each)
        return shifted.to(input.dtype)

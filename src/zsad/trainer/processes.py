"""Training in several processes: each takes a part of every batch, and their gradients are added.

    order of an epoch -> batches, the same in all processes -> the part of this process -> its loss, times its share
    -> gradients added over all processes -> the same step in all of them

The loss of a batch is a mean over its images, so that the sum over the processes of (images here / images of the batch)
times the mean here is the mean over the batch, also where the last batch leaves a process with fewer images, or none.
Random numbers that a method draws for an image are those it has in one process (:mod:`zsad.parts.noise`). Where the
loss of an image depends on others of its batch, each process takes whole batches, and gradients are averaged.
Processes are started and joined by Lightning Fabric's DDP strategy (``gloo`` on CPUs, ``nccl`` on GPUs). Gradients are
added by one operation after the backward pass: PyTorch's own hooks, which begin earlier, would wait for a process that
has no image, and for parameters that no image of a process reaches. What is trained here is small, at most some tens of
megabytes, so that little could overlap.
"""

import json
import logging
import multiprocessing
import os
import pickle
import tempfile
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor
from torch.multiprocessing.spawn import ProcessExitedException, ProcessRaisedException

from zsad import errors
from zsad.errors import ConfigError, DependencyError, ZsadError
from zsad.runtime import RuntimeConfig

T = TypeVar("T")

if multiprocessing.parent_process() is not None:  # in each process that is started, before Fabric sets it up
    logging.getLogger("lightning_fabric").setLevel(logging.ERROR)


class Processes:
    """Those that train together: here, one alone.

    Attributes:
        rank: number of this one, from 0; the first writes.
        count: how many there are.
        device: of this one; None is that of the runtime.
    """

    rank, count = 0, 1
    device: str | None = None

    def part(self, indices: Tensor) -> Tensor:
        """The part of a batch that this process takes; it may be empty."""
        return indices

    def place(self, images: int) -> int:
        """Where in a batch of so many images the part begins."""
        return 0

    def add_gradients(self, parameters: Iterable[Tensor]) -> None:
        """Replace the gradients by their sums over all processes."""

    def total(self, values: Mapping[str, float]) -> dict[str, float]:
        """The sums of numbers over all processes."""
        return dict(values)

    def average(self, buffers: Iterable[Tensor]) -> None:
        """Replace buffers by their means over all processes."""

    def shared(self, value: T) -> T:
        """What the first process has."""
        return value


class FabricProcesses(Processes):
    """Several, with the collective operations of Lightning Fabric."""

    def __init__(self, fabric: Any) -> None:
        self._fabric = fabric
        self.rank, self.count, self.device = fabric.global_rank, fabric.world_size, str(fabric.device)

    def part(self, indices: Tensor) -> Tensor:
        """Neighbours in the batch; the first processes have one more where it does not divide."""
        return indices.tensor_split(self.count)[self.rank]

    def place(self, images: int) -> int:
        """After the parts of the processes before this one."""
        return self.rank * (images // self.count) + min(self.rank, images % self.count)

    def add_gradients(self, parameters: Iterable[Tensor]) -> None:
        """In one operation. A parameter without a gradient in all processes keeps none."""
        trained = list(parameters)
        here = [parameter.grad for parameter in trained]
        has = torch.tensor([gradient is not None for gradient in here], dtype=torch.float32, device=trained[0].device)
        gradients = [torch.zeros_like(one) if grad is None else grad for one, grad in zip(trained, here, strict=True)]
        total = self._sum(torch.cat([has, *(gradient.flatten() for gradient in gradients)]))
        pieces = total[len(trained) :].split([parameter.numel() for parameter in trained])
        for parameter, piece, count in zip(trained, pieces, total[: len(trained)].tolist(), strict=True):
            parameter.grad = piece.view_as(parameter).clone() if count else None

    def total(self, values: Mapping[str, float]) -> dict[str, float]:
        """In double precision; a process without images has no names."""
        names = sorted({name for each in self._gathered(list(values)) for name in each})
        total = self._sum(torch.tensor([values.get(name, 0.0) for name in names], dtype=torch.float64))
        found = dict(zip(names, total.tolist(), strict=True))
        return {name: found[name] for name in (*values, *(name for name in names if name not in values))}

    def average(self, buffers: Iterable[Tensor]) -> None:
        """Of those that are no counts."""
        for buffer in buffers:
            if buffer.is_floating_point():
                buffer.copy_(self._sum(buffer.clone()) / self.count)

    def shared(self, value: T) -> T:
        """Sent by the first process."""
        found: T = pickle.loads(self._fabric.broadcast(pickle.dumps(value)))
        return found

    def _sum(self, values: Tensor) -> Tensor:
        found: Tensor = self._fabric.all_reduce(values.to(self._fabric.device), reduce_op="sum")
        return found.to(values.device)

    def _gathered(self, value: list[str]) -> list[list[str]]:
        found: list[list[str]] = [[] for _ in range(self.count)]
        torch.distributed.all_gather_object(found, value)
        return found


def several(runtime: RuntimeConfig) -> bool:
    """Whether a training has more than one process: as many as asked for, or as ``torchrun`` started."""
    return runtime.processes > 1 or _is_launched()


def run(function: Callable[..., T], runtime: RuntimeConfig, *arguments: object) -> T:
    """Run a function in all processes.

    Args:
        function: takes the :class:`Processes` and the arguments; it and they can be pickled.
        runtime: device, and how many processes this machine has; under ``torchrun`` they are there already.
        arguments: the others.

    Returns:
        What the first process returns.

    Raises:
        DependencyError: Lightning Fabric is not installed.
        ConfigError: ``torchrun`` and ``processes`` are both asked for, there are not so many GPUs, or an argument
            cannot be pickled.
        ZsadError: that of the first process that raised one; the others are ended.
    """
    fabric, carried = _fabric(runtime), _pickled(arguments)
    with tempfile.TemporaryDirectory(prefix="zsad-") as folder:
        try:
            with _quiet():
                result: T = fabric.launch(_begin, function, carried, folder)
        except (ProcessRaisedException, ProcessExitedException) as error:
            raise _reported(Path(folder)) or _died(error) from error
    return result


def _begin(fabric: Any, function: Callable[..., T], arguments: bytes, folder: str) -> T:
    """In each process. The arguments come as bytes, for Fabric looks into what it carries and refuses frozen ones."""
    try:
        return function(FabricProcesses(fabric), *pickle.loads(arguments))
    except ZsadError as error:
        if _is_launched():
            raise
        told = [type(error).__name__, error.rule, str(error.value), error.remedy]
        Path(folder, f"{fabric.global_rank}.json").write_text(json.dumps(told), encoding="utf-8")
        raise


def _pickled(arguments: tuple[object, ...]) -> bytes:
    try:
        return pickle.dumps(arguments)
    except (pickle.PicklingError, TypeError, AttributeError) as error:
        remedy = "give observers and data sets of classes and functions at the top of a module"
        raise ConfigError("what several processes are given can be pickled", error, remedy) from error


def _fabric(runtime: RuntimeConfig) -> Any:
    is_gpu = runtime.device_type == "cuda"
    here, hosts, strategy = runtime.processes, 1, "ddp_spawn"
    if _is_launched():
        if runtime.processes > 1:
            rule = "the number of processes is that of torchrun"
            raise ConfigError(rule, f"--processes {runtime.processes} as well", "leave --processes away")
        here, world = (int(os.environ[name]) for name in ("LOCAL_WORLD_SIZE", "WORLD_SIZE"))
        hosts, strategy = world // here, "ddp"
    if is_gpu and here > torch.cuda.device_count():
        raise ConfigError("a process has a GPU of its own", f"{here} for {torch.cuda.device_count()}", "ask for fewer")
    try:
        from lightning_fabric import Fabric
    except ImportError as error:
        remedy = "run: pip install 'zsad[distributed]'"
        raise DependencyError("several processes need Lightning Fabric", error, remedy) from error
    logging.getLogger("lightning_fabric").setLevel(logging.ERROR)
    with _quiet():
        return Fabric(accelerator="cuda" if is_gpu else "cpu", devices=here, num_nodes=hosts, strategy=strategy)


def _is_launched() -> bool:
    return "TORCHELASTIC_RUN_ID" in os.environ and int(os.environ.get("WORLD_SIZE", "1")) > 1


def _reported(folder: Path) -> ZsadError | None:
    """The error that a process left."""
    for path in sorted(folder.glob("*.json")):
        name, rule, value, remedy = json.loads(path.read_text(encoding="utf-8"))
        kind: type[ZsadError] = getattr(errors, name, ZsadError)
        return kind(rule, value, remedy)
    return None


def _died(error: Exception) -> ZsadError:
    reason = str(error).strip().splitlines()[-1][:500]
    remedy = "look at memory and at what is printed above, and go on with --resume"
    return ZsadError("the processes of a training stay alive", reason, remedy)


@contextmanager
def _quiet() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module="lightning_fabric")
        warnings.filterwarnings("ignore", category=UserWarning, message=".*resource_tracker.*")
        yield

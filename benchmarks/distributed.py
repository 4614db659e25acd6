"""Train every method in two processes and in one, and compare gradients and weights.

    python -m benchmarks.distributed                      # all trainable methods on tiny, small images
    python -m benchmarks.distributed fe-clip coop --processes 3

Eight images in batches of seven: the parts of a batch differ in size, and the last batch leaves a process without an
image. Printed are the largest difference of the gradients of the first step over the largest gradient, and that of the
weights after both steps, once in single and once in double precision (that is, ``Tensor.float`` gives double). Where a
gradient is nothing but rounding, Adam, which divides by its size, makes a step of it in single precision; in double
precision rounding is far below the epsilon of Adam, and what is left is what the processes compute. Weights that differ
by more than 1e-5 in single precision are named, with their largest gradient in double, beside the largest of all. The
exit status is 1 where gradients, or weights in double precision, differ by more than 1e-5.
"""

import argparse
import os
import sys
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest import mock

os.environ |= {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}

import torch
from torch import Tensor

from benchmarks.faults.commands import prepare
from zsad import methods
from zsad.data.specification import samples_of
from zsad.methods import Trainable
from zsad.runtime import RuntimeConfig
from zsad.trainer import processes, state
from zsad.trainer.images import TrainingBatch, TrainingImages
from zsad.trainer.processes import Processes
from zsad.trainer.recipe import Recipe
from zsad.trainer.training import prepare_run

Tensors = dict[str, Tensor]
LIMIT = 1e-5
TRAINING = {"epochs": 1, "batch_size": 7, "first_stage": None}


def main() -> int:
    """Train, compare, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("methods", nargs="*", help="default: all that are trained")
    parser.add_argument("--processes", type=int, default=2)
    options = parser.parse_args()
    trained_ones = [name for name, kind in methods.available().items() if issubclass(kind, Trainable)]
    chosen = options.methods or trained_ones
    runtime = RuntimeConfig(device="cpu", processes=options.processes, workers=1, cache_gb=0)
    with tempfile.TemporaryDirectory() as name:
        prepare(Path(name))
        for drawn, known_class in (("nuts/nut", "metal_nut"), ("bolts/long bolt", "tile")):  # which have descriptions
            Path(name, drawn).rename(Path(name, "nuts", known_class))
        found = processes.run(compared, runtime, chosen, name, runtime)
    print(f"{'method':<16}{'single: gradients':>18}{'weights':>10}{'double: gradients':>20}{'weights':>10}{'rate':>10}")
    for name, single, double, rate, why in found:
        cells = f"{single[0]:>18.1e}{single[1]:>10.1e}{double[0]:>20.1e}{double[1]:>10.1e}{rate:>10.0e}"
        print(f"{name:<16}{cells}  {why}")
    return int(any(max(*single[:1], *double) > LIMIT for _, single, double, *_ in found))


def compared(
    together: Processes, names: Sequence[str], work: str, runtime: RuntimeConfig
) -> list[tuple[str, tuple[float, float], tuple[float, float], float, str]]:
    """In each process: of each method the differences of gradients and of weights in both precisions, rate, and why."""
    rows = []
    for name in names:
        found = {}
        for precision, within in (("single", nullcontext), ("double", in_double)):
            with within():
                ours = trained(together, name, Path(work) / f"{name}-{precision}-parted", runtime)
                if together.rank == 0:
                    alone = trained(Processes(), name, Path(work) / f"{name}-{precision}-alone", runtime)
                    found[precision] = (ours, alone)
        if together.rank == 0:
            kind = methods.get(name)
            assert issubclass(kind, Trainable)
            single, double = (
                (relative(ours[0], alone[0]), largest(apart(ours[1], alone[1]))) for ours, alone in found.values()
            )
            rate = kind.training_defaults.learning_rate
            rows.append((name, single, double, rate, explained(*found["single"], found["double"][1][0])))
    return rows


def relative(ours: Tensors, theirs: Tensors) -> float:
    """The largest difference over the largest number."""
    return largest(apart(ours, theirs)) / largest(theirs)


def apart(ours: Tensors, theirs: Tensors) -> Tensors:
    """The differences.

    Raises:
        KeyError: they are of other tensors.
    """
    if ours.keys() != theirs.keys():
        raise KeyError(ours.keys() ^ theirs.keys())
    return {name: ours[name] - theirs[name] for name in theirs}


def largest(tensors: Tensors) -> float:
    """The largest magnitude of any number."""
    return max((float(tensor.abs().max()) for tensor in tensors.values() if tensor.numel()), default=0.0)


def explained(ours: tuple[Tensors, Tensors], theirs: tuple[Tensors, Tensors], exact: Tensors) -> str:
    """Which weights differ by more than the limit in single precision, and their gradients in double."""
    lines = []
    for name, difference in apart(ours[1], theirs[1]).items():
        beyond = difference.abs() > LIMIT
        if beyond.any():
            gradient, whole = float(exact[name][beyond].abs().max()), largest(exact)
            lines.append(f"{name}: {int(beyond.sum())} of {beyond.numel()}, gradient {gradient:.0e} of {whole:.0e}")
    return "; ".join(lines)


@contextmanager
def in_double() -> Iterator[None]:
    """Within, what is made of images is in double precision, with the random numbers of single precision."""
    read, draw = TrainingImages.batch, torch.randn

    def batch(images: TrainingImages, indices: Sequence[int], with_pixels: bool = True) -> TrainingBatch:
        found = read(images, indices, with_pixels)
        return replace(found, pixels=found.pixels.double(), masks=found.masks.double(), labels=found.labels.double())

    def randn(*size: int, **more: Any) -> Tensor:
        return draw(*size, **more | {"dtype": torch.float32}).double()

    with (
        mock.patch.object(torch, "randn", randn),
        mock.patch.object(TrainingImages, "batch", batch),
        mock.patch.object(Tensor, "float", Tensor.double),
        mock.patch.object(RuntimeConfig, "dtype", torch.float64),
    ):
        torch.set_default_dtype(torch.float64)
        try:
            yield
        finally:
            torch.set_default_dtype(torch.float32)


def trained(together: Processes, name: str, folder: Path, runtime: RuntimeConfig) -> tuple[Tensors, Tensors]:
    """The gradients of the first step, and the weights after one epoch, by name."""
    samples = samples_of(f"mvtec:{folder.parent / 'nuts'}", "test", None)
    recipe = Recipe(name, image_size=64, training=TRAINING)
    precision = torch.get_default_dtype()
    torch.set_default_dtype(torch.float32)  # initial weights are drawn in it
    run = prepare_run(recipe, samples, folder, runtime=replace(runtime, processes=1))
    torch.set_default_dtype(precision)
    run.method.to(precision)
    run._statistics = state.running_statistics(run.method)
    names = {id(parameter): name for name, parameter in run.method.named_parameters()}
    first: Tensors = {}

    class Noting(type(together)):  # type: ignore[misc]
        def __init__(self) -> None:
            vars(self).update(vars(together))

        def add_gradients(self, parameters: Iterable[Tensor]) -> None:
            given = list(parameters)
            super().add_gradients(given)
            for one in given:
                if one.grad is not None:
                    first.setdefault(names[id(one)], one.grad.clone())

    run.processes = Noting()
    folder.mkdir(exist_ok=True)
    run.synchronise(0)
    run.train()
    trainable = {name: one.detach() for name, one in run.method.named_parameters() if one.requires_grad}
    return first, trainable | run._statistics


if __name__ == "__main__":
    sys.exit(main())

"""Train every method in two processes and in one, and compare gradients and weights.

    python -m benchmarks.distributed                      # all trainable methods on tiny, small images
    python -m benchmarks.distributed fe-clip coop --processes 3

Eight images in batches of seven: the parts of a batch differ in size, and the last batch leaves a process without an
image. Printed are the largest difference of the gradients of the first step over the largest gradient, and that of the
weights after both steps. Where a gradient is nothing but rounding (a bias before a softmax), Adam makes a whole step
of it, so that the weights may differ by up to a rate a step there. The exit status is 1 where gradients differ by more
than 1e-5, unless the method draws random numbers for each image or has statistics of a batch, which the table says.
"""

import argparse
import os
import sys
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

os.environ |= {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}

from safetensors.torch import load_file
from torch import Tensor

from benchmarks.faults.commands import prepare
from zsad import methods
from zsad.data.specification import samples_of
from zsad.methods import Trainable
from zsad.runtime import RuntimeConfig
from zsad.trainer import processes
from zsad.trainer.processes import Processes
from zsad.trainer.recipe import Recipe
from zsad.trainer.training import prepare_run

Tensors = dict[str, Tensor]
LIMIT = 1e-5
DIFFERENT = {
    "wmoe-clip": "draws for each image, balance over the batch",
    "inctrl": "batch normalisation",
}
"""Why the weights of some methods are others."""
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
    failed = 0
    print(f"{'method':<16}{'gradients':>12}{'weights':>12}{'rate':>10}")
    for name, gradient, weight, rate in found:
        reason = DIFFERENT.get(name, "")
        failed += gradient > LIMIT and not reason
        print(f"{name:<16}{gradient:>12.2g}{weight:>12.2g}{rate:>10.2g}  {reason}")
    return int(failed > 0)


def compared(
    together: Processes, names: Sequence[str], work: str, runtime: RuntimeConfig
) -> list[tuple[str, float, float, float]]:
    """In each process: name, differences of gradients and of weights, and rate of each method."""
    rows = []
    for name in names:
        ours = trained(together, name, Path(work) / f"{name}-parted", runtime)
        if together.rank == 0:
            theirs = trained(Processes(), name, Path(work) / f"{name}-alone", runtime)
            gradient, weight = (difference(one, other) for one, other in zip(ours, theirs, strict=True))
            kind = methods.get(name)
            assert issubclass(kind, Trainable)
            rows.append((name, gradient / largest(theirs[0]), weight, kind.training_defaults.learning_rate))
    return rows


def difference(ours: Tensors, theirs: Tensors) -> float:
    """The largest of any number."""
    return largest({name: ours[name] - theirs[name] for name in theirs})


def largest(tensors: Tensors) -> float:
    """The largest magnitude of any number."""
    return max(float(tensor.abs().max()) for tensor in tensors.values() if tensor.numel())


def trained(together: Processes, name: str, folder: Path, runtime: RuntimeConfig) -> tuple[Tensors, Tensors]:
    """The gradients of the first step, and the weights after one epoch."""
    samples = samples_of(f"mvtec:{folder.parent / 'nuts'}", "test", None)
    recipe = Recipe(name, image_size=64, training=TRAINING)
    run = prepare_run(recipe, samples, folder, runtime=replace(runtime, processes=1))
    first: Tensors = {}

    class Noting(type(together)):  # type: ignore[misc]
        def __init__(self) -> None:
            vars(self).update(vars(together))

        def add_gradients(self, parameters: Iterable[Tensor]) -> None:
            given = list(parameters)
            super().add_gradients(given)
            for number, one in enumerate(given):
                if one.grad is not None:
                    first.setdefault(str(number), one.grad.clone())

    run.processes = Noting()
    folder.mkdir(exist_ok=True)
    run.synchronise(0)
    run.train()
    if together.rank > 0:
        return first, {}
    return first, load_file(folder / "trained_state.safetensors")


if __name__ == "__main__":
    sys.exit(main())

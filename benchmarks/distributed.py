"""Train every method in two processes and in one, and compare the weights.

    python -m benchmarks.distributed                      # all trainable methods on tiny, small images
    python -m benchmarks.distributed fe-clip coop --processes 3

Eight images in batches of seven: the parts of a batch differ in size, and the last batch leaves a process without an
image. The exit status is 1 where weights differ by more than 1e-5, unless the method draws random numbers for each
image or has statistics of a batch, which the table says.
"""

import argparse
import os
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

os.environ |= {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}

from safetensors.torch import load_file

from benchmarks.faults.commands import prepare
from zsad import methods
from zsad.data.specification import samples_of
from zsad.methods import Trainable
from zsad.runtime import RuntimeConfig
from zsad.trainer import processes
from zsad.trainer.processes import Processes
from zsad.trainer.recipe import Recipe
from zsad.trainer.training import prepare_run

LIMIT = 1e-5
DIFFERENT = {
    "wmoe-clip": "draws for each image, balance over the batch",
    "vcp-clip": "",
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
    print(f"{'method':<16}{'tensors':>9}{'largest weight':>16}{'difference':>12}{'over rate':>11}")
    for name, tensors, largest, difference, rate in found:
        reason = DIFFERENT.get(name, "")
        is_wrong = difference > LIMIT and not reason
        failed += is_wrong
        print(f"{name:<16}{tensors:>9}{largest:>16.3g}{difference:>12.2g}{difference / rate:>11.2g}  {reason}")
    return int(failed > 0)


def compared(
    together: Processes, names: Sequence[str], work: str, runtime: RuntimeConfig
) -> list[tuple[str, int, float, float, float]]:
    """In each process: name, number of tensors, largest weight, largest difference and rate of each method."""
    rows = []
    for name in names:
        parted = trained(together, name, Path(work) / f"{name}-parted", runtime)
        if together.rank == 0:
            alone = trained(Processes(), name, Path(work) / f"{name}-alone", runtime)
            ours, theirs = (load_file(folder / "trained_state.safetensors") for folder in (parted, alone))
            difference = max(float((ours[key] - theirs[key]).abs().max()) for key in theirs if theirs[key].numel())
            largest = max(float(tensor.abs().max()) for tensor in theirs.values() if tensor.numel())
            kind = methods.get(name)
            assert issubclass(kind, Trainable)
            rows.append((name, len(theirs), largest, difference, kind.training_defaults.learning_rate))
    return rows


def trained(together: Processes, name: str, folder: Path, runtime: RuntimeConfig) -> Path:
    """A run of one epoch."""
    samples = samples_of(f"mvtec:{folder.parent / 'nuts'}", "test", None)
    recipe = Recipe(name, image_size=64, training=TRAINING)
    run = prepare_run(recipe, samples, folder, runtime=replace(runtime, processes=1))
    run.processes = together
    folder.mkdir(exist_ok=True)
    run.synchronise(0)
    run.train()
    return folder


if __name__ == "__main__":
    sys.exit(main())

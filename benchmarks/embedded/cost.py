"""What the embedded backbone takes up: in the package, in time, in memory.

    python -m benchmarks.embedded cost --out runs/cost

Time is that of ``zsad predict`` as a user has it, a process of its own on drawn images of 512×512 px: Python, PyTorch
and weights are loaded, heat maps and the report are written.
"""

import os
import platform
import subprocess
import sys
import time
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib.resources import files
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from PIL import Image

from benchmarks.embedded.corpus import BACKBONE
from benchmarks.embedded.markdown import leave, table
from zsad.backbones import weights
from zsad.backbones.config import image_size_for
from zsad.data.synthetic import surface

FILES = ("model.safetensors", "merges.txt.gz", "card.json")
CNN = tuple(f"vision.patch_embedding.{name}" for name in ("first.", "stages.", "mean", "deviation"))
"""How the tensors that pretraining does not change are called."""
SIZE = (512, 512)


@dataclass(frozen=True)
class Run:
    """One process: its seconds by the clock, and its highest resident memory in MB."""

    seconds: float
    memory_mb: float


def add(verbs: Any) -> None:
    """Add the command."""
    parser: ArgumentParser = verbs.add_parser("cost", help="size, time and memory")
    parser.add_argument("--images", nargs="+", type=int, default=[1, 50], metavar="N", help="default: 1 50")
    parser.add_argument("--rounds", type=int, default=3, metavar="N", help="default: 3")
    parser.add_argument("--threads", type=int, default=2, metavar="N", help="default: 2")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR")
    parser.set_defaults(run=run)


def run(options: Namespace) -> None:
    """Weigh, run, print."""
    with TemporaryDirectory() as folder:
        first, runs = timed(Path(folder), options.images, options.rounds, options.threads)
    numbers = {
        "bytes": sizes(),
        "parameters": parameters(),
        "threads": options.threads,
        "first": asdict(first),
        "runs": {count: [asdict(one) for one in some] for count, some in runs.items()},
    }
    leave("cost", text(first, runs, options.threads), numbers, options.out)


def sizes() -> dict[str, int]:
    """Bytes of each file of the model in the package."""
    return {name: len((files("zsad") / "assets" / BACKBONE / name).read_bytes()) for name in FILES}


def parameters() -> dict[str, int]:
    """Numbers in the tensors of each part: the CNN, what else there is of the vision tower, and the rest."""
    counts = {"CNN": 0, "vision tower": 0, "text tower": 0}
    for name, tensor in weights.load(BACKBONE).state_dict().items():
        part = "CNN" if name.startswith(CNN) else "vision tower" if name.startswith("vision.") else "text tower"
        counts[part] += tensor.numel()
    return counts


def timed(folder: Path, counts: Sequence[int], rounds: int, threads: int) -> tuple[Run, dict[int, list[Run]]]:
    """The very first run, on one image, which also encodes the prompts; then each number of images in turn."""
    for count in {1, *counts}:
        draw(folder / f"{count}", count)
    first = predict(folder / "1", folder, threads)
    runs: dict[int, list[Run]] = {count: [] for count in counts}
    for _ in range(rounds):
        for count, some in runs.items():
            some.append(predict(folder / f"{count}", folder, threads))
    return first, runs


def draw(folder: Path, count: int) -> None:
    """Surfaces without damage, another one for each number."""
    folder.mkdir()
    for number in range(count):
        pixels, _ = surface(np.random.default_rng(number), SIZE)
        Image.fromarray(pixels).save(folder / f"{number}.png")


def predict(images: Path, folder: Path, threads: int) -> Run:
    """``zsad predict`` with its default detector; caches are below the folder, so that they begin empty.

    Raises:
        CalledProcessError: it failed.
    """
    command = [sys.executable, "-m", "zsad.cli.main", "predict", str(images), "--device", "cpu"]
    command += ["--out", str(folder / "out")]
    surroundings = os.environ | {"OMP_NUM_THREADS": f"{threads}", "ZSAD_CACHE": str(folder / "cache")}
    began = time.perf_counter()
    process = subprocess.Popen(command, env=surroundings, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - began
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command)
    return Run(seconds, used.ru_maxrss * (1 if sys.platform == "darwin" else 1024) / 1e6)


def text(first: Run, runs: dict[int, list[Run]], threads: int) -> str:
    """Size, then time and memory."""
    known, counts = sizes(), parameters()
    lines = [
        [f"{count}", f"{low:.2f} ({middle:.2f})", f"{low / count:.3f}", f"{max(one.memory_mb for one in some):.0f}"]
        for count, some in runs.items()
        for low, middle in [(min(one.seconds for one in some), median(one.seconds for one in some))]
    ]
    parts = ", ".join(f"{count:,} {name}" for name, count in counts.items())
    return "\n\n".join(
        [
            table(["file", "bytes"], [*([name, f"{size:,}"] for name, size in known.items()), _total(known)]),
            f"Parameters: {sum(counts.values()):,} ({parts}).",
            f"`zsad predict`, default detector at {image_size_for(BACKBONE, None)} px on drawn images of "
            f"{SIZE[0]}×{SIZE[1]} px, {threads} threads ({platform.machine()}), fp32; a process each, with loading and "
            f"writing; fastest (median) of {len(next(iter(runs.values())))}; the very first run, which encodes the "
            f"prompts, took {first.seconds:.2f} s on one image.",
            table(["images", "s", "s an image", "peak MB"], lines),
        ]
    )


def _total(known: dict[str, int]) -> list[str]:
    return ["together", f"{sum(known.values()):,}"]

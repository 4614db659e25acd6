"""`zsad predict` from JPEG files to maps, overlays and report, over what the tower alone does on the same device.

    python -m benchmarks.throughput                              # tiny at 448 px on this CPU
    python -m benchmarks.throughput --before ../zsad-0.1         # beside an older tree, in one run
    python -m benchmarks.throughput --gpu                        # ViT-L-14-336 at 518 px, bf16, batches of 32, on a GPU
    python -m benchmarks.throughput --gpu --device cpu --backbone tiny --weights embedded --image-size 448 --side 512 \\
        --images 24 --batch-size 4                               # the same script where there is none

The tower runs on images that are in memory: on a CPU once in all threads, as PyTorch does by itself, and once side by
side, a pass in each thread; the ratio is to the first. Rounds alternate; exit status 1 where it is below the bar.
On a GPU the share of the measured peak that the tower reaches has a bar, too.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import torch
from torch import Tensor

import zsad
from zsad.cli.options import run_info
from zsad.passes import forward_passes, side_by_side
from zsad.predictor import Detector
from zsad.runtime import RuntimeConfig
from zsad.throughput import draw_photographs, end_to_end, peak_flops, tower_flops

WARM_UP = 2
PEAK_BAR = 0.55
"""Of a GPU's measured peak, for the tower."""
GPU = {
    "device": "cuda",
    "backbone": "ViT-L-14-336",
    "weights": "random",
    "image_size": 518,
    "precision": "bf16",
    "batch_size": 32,
    "images": 640,
    "bar": 0.7,
}
"""What ``--gpu`` stands for; options that are given go before."""
BEFORE = """
import json, sys, tempfile, time
from pathlib import Path
import zsad
from zsad.cli.options import run_info
from zsad.reports.predictions import ReportWriter
given, files = json.loads(sys.argv[1]), [Path(name) for name in sys.argv[2:]]
detector = zsad.load(**given)
for part in (files[:2], files):
    start = time.perf_counter()
    answers = detector.stream(part)
    with ReportWriter(Path(tempfile.mkdtemp()), run_info(detector, "object")) as report:
        for answer in answers:
            report.add(*answer)
print(len(files) / (time.perf_counter() - start))
"""
"""What `zsad predict` did in an older tree, without what is needed once."""


def main() -> int:
    """Measure, print a table; returns the exit status."""
    options = parsed()
    runtime = RuntimeConfig(options.device, options.precision, options.batch_size)
    detector = zsad.load(
        options.detector,
        backbone=options.backbone,
        weights=options.weights,
        image_size=options.image_size,
        runtime=runtime,
    )
    with TemporaryDirectory() as folder:
        files = draw_photographs(Path(folder), options.images, options.side)
        alternatives: dict[str, Callable[[], float]] = {
            "tower alone": lambda: tower_rate(detector, options.images),
            "zsad predict": lambda: end_to_end(detector, files, run_info(detector, "object")),
        }
        if detector.runtime.device_type == "cpu":
            alternatives["tower, side by side"] = lambda: side_by_side_rate(detector, options.images)
        if options.before:
            alternatives["before"] = lambda: rate_before(options, files)
        rates: dict[str, list[float]] = {name: [] for name in alternatives}
        for _ in range(options.rounds):
            for name, measured in alternatives.items():
                rates[name].append(measured())
    return report(detector, {name: median(values) for name, values in rates.items()}, options.bar)


def parsed() -> argparse.Namespace:
    """The options."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--detector", default="clip-ac")
    parser.add_argument("--backbone")
    parser.add_argument("--weights")
    parser.add_argument("--image-size", type=int)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--precision", default="fp32")
    parser.add_argument("--batch-size", type=lambda text: text if text == "auto" else int(text), default="auto")
    parser.add_argument("--images", type=int, default=60, help="JPEG files (default: 60)")
    parser.add_argument("--side", type=int, default=1024, help="of the files in px (default: 1024)")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--before", type=Path, metavar="TREE", help="an older tree of this project, to compare with")
    parser.add_argument("--bar", type=float, default=0.85, help="end to end over the tower (default: 0.85)")
    parser.add_argument("--gpu", action="store_true", help=", ".join(f"{key} {value}" for key, value in GPU.items()))
    if parser.parse_known_args()[0].gpu:
        parser.set_defaults(**GPU)
    return parser.parse_args()


def pixels(detector: Detector) -> Tensor:
    """A batch of noise on the device."""
    side, runtime = detector.image_size, detector.runtime
    drawn = torch.randn(runtime.images_at_once, 3, side, side, generator=torch.Generator().manual_seed(0))
    return drawn.to(runtime.device, runtime.dtype)


@torch.inference_mode()
def tower_rate(detector: Detector, images: int) -> float:
    """Images a second of the tower."""
    batch = pixels(detector)
    for number in range(WARM_UP + -(-images // len(batch))):
        if number == WARM_UP:
            _wait(batch)
            start = time.perf_counter()
        detector.method.clip.vision(batch)
    _wait(batch)
    return -(-images // len(batch)) * len(batch) / (time.perf_counter() - start)


@torch.inference_mode()
def side_by_side_rate(detector: Detector, images: int) -> float:
    """Images a second of the tower, with a pass in each of a few threads; on a CPU."""
    batch = pixels(detector)
    start = time.perf_counter()
    for _ in forward_passes(detector.method.clip.vision, (batch for _ in range(images)), "cpu"):
        pass
    return images * len(batch) / (time.perf_counter() - start)


def rate_before(options: argparse.Namespace, files: list[Path]) -> float:
    """Images a second of an older tree, in a process of its own."""
    names = ("detector", "backbone", "weights", "image_size", "device", "precision")
    given = {name: value for name in names if (value := getattr(options, name)) is not None}
    command = [sys.executable, "-c", BEFORE, json.dumps(given), *map(str, files)]
    environment = os.environ | {"PYTHONPATH": str(options.before / "src")}
    return float(
        subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout.split()[-1]
    )


def report(detector: Detector, rates: dict[str, float], bar: float) -> int:
    """Print the rates beside the bars; returns the exit status."""
    runtime, tower = detector.runtime, rates["tower alone"]
    print(
        f"{detector.card.method} on {detector.method.clip.name} at {detector.image_size} px, {runtime.device}, "
        f"{runtime.precision}, batches of {runtime.images_at_once}, {torch.get_num_threads()} threads of PyTorch "
        f"({side_by_side(runtime.device_type)} passes side by side)"
    )
    print(f"{'':<22}{'images/s':>10}{'of the tower':>14}")
    for name, rate in rates.items():
        print(f"{name:<22}{rate:10.2f}{rate / tower:14.2f}")
    ratio = rates["zsad predict"] / tower
    passes = ratio >= bar
    print(f"end to end over the tower: {ratio:.2f}, bar {bar:.2f}: {'passes' if passes else 'FAILS'}")
    share = tower_flops(detector, pixels(detector)) * tower / peak_flops(runtime.device, runtime.dtype)
    print(f"the tower reaches {share:.0%} of the peak of matrix products here", end="")
    if runtime.device_type == "cpu":
        print()
        return 0 if passes else 1
    print(f", bar {PEAK_BAR:.0%}: {'passes' if share >= PEAK_BAR else 'FAILS'}")
    return 0 if passes and share >= PEAK_BAR else 1


def _wait(batch: Tensor) -> None:
    if batch.is_cuda:
        torch.cuda.synchronize(batch.device)


if __name__ == "__main__":
    sys.exit(main())

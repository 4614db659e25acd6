"""What each trained method costs on a real architecture with random weights, over the bare tower.

Inference is timed with the tower and the method alternating, as a detector in use runs (text that does not depend on
the image is remembered). The backward pass is timed once. Each method runs in a process of its own, whose peak memory
is told.
"""

import argparse
import resource
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context

import torch

from benchmarks.timing import alternate
from zsad import methods
from zsad.backbones import weights
from zsad.methods._few_shot import FewShot
from zsad.methods._trainable import Trainable
from zsad.types import Target

BARS = {
    "aa-clip": 1.1,
    "clip-ad": 1.5,
    "acd-clip": 1.25,
    "adaclip": 2.6,
    "afr-clip": 1.25,
    "anomalyclip": 1.5,
    "anomalygpt": 1.1,
    "april-gan": 1.1,
    "coop": 1.1,
    "fe-clip": 1.25,
    "inctrl": 1.1,
    "kanoclip": 1.5,
    "mvfa-ad": 1.1,
    "vcp-clip": 1.25,
    "wmoe-clip": 1.25,
}
"""Most that inference may cost, in times of the bare tower."""


@dataclass(frozen=True)
class Cost:
    """Of one method at batch 1; seconds and gigabytes."""

    parameters: int
    tower: float
    inference: float
    ratio_middle: float
    training: float
    inference_memory: float
    training_memory: float


def main() -> None:
    """Print the table, as Markdown."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backbone", default="ViT-L-14-336")
    parser.add_argument("--image-size", type=int, default=518)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--methods", nargs="+", default=list(BARS))
    options = parser.parse_args()
    threads = torch.get_num_threads()
    print(f"{options.backbone} at {options.image_size} px, fp32, batch 1, {threads} threads, {options.rounds} rounds\n")
    print(
        "| method | trained parameters | inference, fastest (median) | bar | with backward | peak GB: use; training |"
    )
    print("|---|---|---|---|---|---|")
    for name in options.methods:
        with ProcessPoolExecutor(1, get_context("spawn")) as alone:
            cost = alone.submit(measure, name, options.backbone, options.image_size, options.rounds).result()
        print(
            f"| `{name}` | {cost.parameters / 1e6:.2f} M | {cost.inference / cost.tower:.3f} ({cost.ratio_middle:.3f}) "
            f"| {BARS[name]:.2f} | {cost.training / cost.tower:.2f} "
            f"| {cost.inference_memory:.2f}; {cost.training_memory:.2f} |",
            flush=True,
        )


def measure(name: str, backbone: str, size: int, rounds: int) -> Cost:
    """Build, run, train one step."""
    torch.manual_seed(0)
    clip = weights.load(backbone, "random")
    method = methods.get(name)(clip, methods.get(name).config_type()).eval()
    assert isinstance(method, Trainable)
    images = torch.randn(1, 3, size, size)
    if isinstance(method, FewShot) and method.needs_normal:
        method.fit_normal(torch.randn(2, 3, size, size))
    with torch.inference_mode():
        seconds = alternate(
            {"tower": lambda: clip.vision(images), "method": lambda: method(images, ["object"])}, rounds
        )
    inference_memory = peak_memory()
    training = one_step(method, images)
    trained = sum(one.numel() for one in method.parameters() if one.requires_grad)
    tower, whole = seconds["tower"], seconds["method"]
    return Cost(
        trained, tower.fastest, whole.fastest, whole.middle / tower.middle, training, inference_memory, peak_memory()
    )


def one_step(method: Trainable, images: torch.Tensor) -> float:
    """Seconds of a forward and a backward pass."""
    masks = torch.zeros(1, *images.shape[2:])
    masks[:, :100, :100] = 1
    target = Target(torch.ones(1), masks, (("a damaged object",),))
    method.train()
    began = time.perf_counter()
    loss = torch.stack(list(method.loss(method(images, ["object"]), target).values())).sum()
    loss.backward()
    seconds = time.perf_counter() - began
    assert loss.isfinite()
    assert any(one.grad is not None and one.grad.abs().sum() > 0 for one in method.parameters())
    return seconds


def peak_memory() -> float:
    """Most that this process ever held, in gigabytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9


if __name__ == "__main__":
    main()

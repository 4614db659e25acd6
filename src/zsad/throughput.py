"""What an image costs at each stage of ``zsad predict``, which one limits, and how much of the device the tower uses.

Stages are timed one after the other, image by image, in one thread (on a GPU: batch by batch, to its end); then the
whole is run as ``zsad predict`` runs it.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import TypeVar

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from zsad.data.reading import read_file
from zsad.errors import InputError
from zsad.passes import side_by_side
from zsad.pipeline import Stages
from zsad.predictor import Detector
from zsad.reports.predictions import ReportWriter, RunInfo
from zsad.threads import helpers
from zsad.types import DecodedImage, Prediction

T = TypeVar("T")
HOST, DEVICE = ("decode", "resize", "write"), ("tower", "method", "maps")
ORDER = ("decode", "resize", "tower", "method", "maps", "write")
MULTIPLIED = {"cpu": 2048, "cuda": 8192}
"""Side of the matrices that tell the peak of a device."""


@dataclass(frozen=True)
class Throughput:
    """What was measured.

    Attributes:
        seconds: an image, by stage, in one thread or on the device.
        images_per_second: of all stages together, as ``zsad predict`` runs them.
        batch: images that go through the tower together.
        device: its kind, such as ``"cpu"``.
        threads: of the machine, that decode and encode beside a GPU; on a CPU, passes at a time.
        tower_flops: floating-point operations of the tower for an image; a multiplication and an addition are two.
        peak: operations a second of a product of large matrices in the same precision and number of threads.
    """

    seconds: dict[str, float]
    images_per_second: float
    batch: int
    device: str
    threads: int
    tower_flops: float
    peak: float

    @property
    def share_of_peak(self) -> float:
        """Of what the device can do, what it does while the tower runs; in [0, 1] up to noise."""
        return self.tower_flops / self.seconds["tower"] / self.peak

    @property
    def limit(self) -> str:
        """The stage that limits the whole: on a CPU the longest, on a GPU the longest of the side that is behind."""
        stages: Sequence[str] = ORDER
        if self.device != "cpu":
            host = sum(self.seconds[name] for name in HOST) / self.threads
            stages = HOST if host > sum(self.seconds[name] for name in DEVICE) else DEVICE
        return max(stages, key=self.seconds.__getitem__)


def measure(detector: Detector, files: Sequence[Path], run: RunInfo, rounds: int = 5) -> Throughput:
    """Time a detector on images.

    Args:
        detector: as ``zsad predict`` would run it.
        files: images; those that cannot be read are left out.
        run: what the report of the whole says of it.
        rounds: batches of which the stages are timed, after one that is not.

    Raises:
        InputError: no image can be read.
    """
    runtime, stages = detector.runtime, detector.stages
    threads = torch.get_num_threads()
    batches = _batches(files, runtime.images_at_once, rounds + 1)
    try:
        if runtime.device_type == "cpu":
            torch.set_num_threads(1)
        with TemporaryDirectory() as folder, torch.inference_mode(), stages.exact():
            spent = [_of_batch(stages, batch, run, Path(folder)) for batch in batches]
        pixels = stages.pixels([_decoded(batches[0][0])])
        flops, peak = tower_flops(detector, pixels), peak_flops(runtime.device, runtime.dtype)
    finally:
        torch.set_num_threads(threads)
    timed = spent[1:] or spent
    count = side_by_side("cpu") if runtime.device_type == "cpu" else helpers()
    return Throughput(
        seconds={name: median(each[name] for each in timed) for name in ORDER},
        images_per_second=end_to_end(detector, files, run),
        batch=runtime.images_at_once,
        device=runtime.device_type,
        threads=count,
        tower_flops=flops,
        peak=peak,
    )


def end_to_end(detector: Detector, files: Sequence[Path], run: RunInfo) -> float:
    """Images a second from files to a report, without what is needed once: some go through before the clock starts."""
    with TemporaryDirectory() as folder:
        list(islice(detector.stream([*files], run.class_name), 2))
        start = time.perf_counter()
        with ReportWriter(Path(folder), run, writers=helpers()) as report:
            for answer in detector.stream([*files], run.class_name):
                if isinstance(answer, tuple):
                    report.add(*answer)
        return len(report.entries) / (time.perf_counter() - start)


def _batches(files: Sequence[Path], size: int, count: int) -> list[list[Path]]:
    """So many batches of readable images, which repeat where there are too few."""
    readable = [path for path in files[: size * count] if isinstance(read_file(path), DecodedImage)]
    if not readable:
        raise InputError("there is an image to measure with", "none that can be read", "name others")
    repeated = [readable[number % len(readable)] for number in range(size * count)]
    return [repeated[first : first + size] for first in range(0, len(repeated), size)]


def _decoded(path: Path) -> DecodedImage:
    image = read_file(path)
    assert isinstance(image, DecodedImage)
    return image


def _of_batch(stages: Stages, batch: Sequence[Path], run: RunInfo, folder: Path) -> dict[str, float]:
    """Seconds an image at each stage."""
    spent = dict[str, float]()

    def timed(name: str, work: Callable[[], T]) -> T:
        start = time.perf_counter()
        found = work()
        if stages.runtime.device_type == "cuda":
            torch.cuda.synchronize(stages.runtime.device)
        spent[name] = (time.perf_counter() - start) / len(batch)
        return found

    images = timed("decode", lambda: [_decoded(path) for path in batch])
    prepared = timed("resize", lambda: stages.prepare(images).pixels)
    pixels = stages.moved(prepared)
    timed("tower", lambda: stages.method.clip.vision(pixels))
    evidence = timed("method", lambda: stages.evidence(pixels, run.class_name))
    spent["method"] = max(0.0, spent["method"] - spent["tower"])  # which ran the tower again
    maps = timed("maps", lambda: [each.cpu() for each in stages.maps(evidence, [image.size for image in images])])
    scores = evidence.score.tolist()
    with ReportWriter(folder, replace(run, threshold=None, pixel_threshold=None, overlay="heat")) as report:
        answers = [
            (image, Prediction(image.source, run.class_name, score, None, anomaly_map.numpy()))
            for image, score, anomaly_map in zip(images, scores, maps, strict=True)
        ]

        def write() -> None:
            for answer in answers:
                report.add(*answer)

        timed("write", write)
    return spent


@torch.inference_mode()
def tower_flops(detector: Detector, pixels: Tensor) -> float:
    """Floating-point operations of the tower for one image, as PyTorch counts those of products and convolutions."""
    # The counter does not know the fused attention of CPUs, but the products that it stands for.
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        detector.method.clip.vision(pixels[:1])
    return float(counter.get_total_flops())


@torch.inference_mode()
def peak_flops(device: str, dtype: torch.dtype, rounds: int = 5) -> float:
    """Operations a second of the product of two large matrices: the best of some."""
    side = MULTIPLIED.get(torch.device(device).type, MULTIPLIED["cpu"])
    a, b = (torch.ones(side, side, device=device, dtype=dtype) for _ in range(2))
    times = []
    for _ in range(rounds):
        start = time.perf_counter()
        a @ b
        if a.is_cuda:
            torch.cuda.synchronize(a.device)
        times.append(time.perf_counter() - start)
    return 2.0 * side**3 / min(times)


def draw_photographs(folder: Path, count: int, side: int) -> list[Path]:
    """JPEG of smooth shades with fine noise, as large and as hard to compress as photographs of surfaces."""
    rng, paths = np.random.default_rng(0), []
    for number in range(count):
        shades = np.full((side, side), 128, np.float32)
        for cells, contrast in ((8, 60), (32, 30), (128, 12), (side // 2, 5)):
            drawn = Image.fromarray(rng.standard_normal((cells, cells), dtype=np.float32))
            shades += contrast * np.asarray(drawn.resize((side, side), Image.Resampling.BICUBIC))
        noise = 2 * rng.standard_normal((side, side, 3), dtype=np.float32)
        paths.append(folder / f"{number:04d}.jpg")
        Image.fromarray(np.clip(shades[..., None] + noise, 0, 255).astype(np.uint8)).save(paths[-1], quality=90)
    return paths

"""What an image costs at each stage of ``zsad predict``, which one limits, and how much of the device the tower uses.

Stages are timed one after the other, image by image, in one thread (on a GPU: batch by batch, to its end); then the
whole is run as ``zsad predict`` runs it. With tiles, an image costs what all of its tiles cost.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import islice, product
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import TypeVar

import numpy as np
import torch
from jaxtyping import Float32
from PIL import Image
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from zsad.data.reading import read_file
from zsad.errors import InputError
from zsad.folder_pass import chunks
from zsad.passes import side_by_side
from zsad.pipeline import Stages
from zsad.predictor import Detector
from zsad.reports.predictions import ReportWriter, RunInfo
from zsad.threads import helpers
from zsad.tiling import Tiling, starts, weights
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
        passes: through the tower for an image, on average: 1, or the number of its tiles and coarse passes.
    """

    seconds: dict[str, float]
    images_per_second: float
    batch: int
    device: str
    threads: int
    tower_flops: float
    peak: float
    passes: float = 1.0

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
            spent = [_of_batch(stages, batch, run, Path(folder), detector.tiling) for batch in batches]
        timed = [_decoded(path) for batch in batches[1:] for path in batch]
        passes = len(_parts(timed, detector.tiling)) / len(timed)
        pixels = stages.pixels(timed[:1])
        flops, peak = passes * tower_flops(detector, pixels), peak_flops(runtime.device, runtime.dtype)
    finally:
        torch.set_num_threads(threads)
    count = side_by_side("cpu") if runtime.device_type == "cpu" else helpers()
    return Throughput(
        seconds={name: median(each[name] for each in spent[1:]) for name in ORDER},
        images_per_second=end_to_end(detector, files, run),
        batch=runtime.images_at_once,
        device=runtime.device_type,
        threads=count,
        tower_flops=flops,
        peak=peak,
        passes=passes,
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


@dataclass(frozen=True)
class _Part:
    """What of an image goes through the tower at once.

    Attributes:
        number: of the image in its batch.
        image: the part.
        where: in the image.
        weight: of its map there.
    """

    number: int
    image: DecodedImage
    where: tuple[slice, slice]
    weight: Float32[np.ndarray, "*part"]


def _parts(images: Sequence[DecodedImage], tiling: Tiling | None) -> list[_Part]:
    """The images, or their tiles, followed by the whole where there is a coarse pass."""
    everywhere = slice(None), slice(None)
    if tiling is None:
        return [_Part(number, image, everywhere, np.ones((), np.float32)) for number, image in enumerate(images)]
    parts: list[_Part] = []
    (size, overlap, coarse) = tiling
    for number, image in enumerate(images):
        rows, cols = image.size
        height, width = min(size, rows), min(size, cols)
        tops, lefts = starts(rows, size, overlap), starts(cols, size, overlap)
        down, across = weights(tops, height, rows), weights(lefts, width, cols)
        for (top, vertical), (left, horizontal) in product(
            zip(tops, down, strict=True), zip(lefts, across, strict=True)
        ):
            where = slice(top, top + height), slice(left, left + width)
            tile = DecodedImage(np.ascontiguousarray(image.pixels[where]), image.source)
            parts.append(_Part(number, tile, where, np.float32(1 - coarse) * vertical[:, None] * horizontal))
        if coarse:
            parts.append(_Part(number, image, everywhere, np.full((), coarse, np.float32)))
    return parts


class _Clock:
    """Seconds of an image at each stage."""

    def __init__(self, device: str, images: int) -> None:
        self.device, self.images, self.spent = device, images, dict.fromkeys(ORDER, 0.0)

    def timed(self, name: str, work: Callable[[], T]) -> T:
        """What the work gives; its time is added to a stage."""
        start = time.perf_counter()
        found = work()
        if torch.device(self.device).type == "cuda":
            torch.cuda.synchronize(self.device)
        self.spent[name] += (time.perf_counter() - start) / self.images
        return found


def _of_batch(
    stages: Stages, batch: Sequence[Path], run: RunInfo, folder: Path, tiling: Tiling | None
) -> dict[str, float]:
    """Seconds an image at each stage."""
    clock = _Clock(stages.runtime.device, len(batch))
    images = clock.timed("decode", lambda: [_decoded(path) for path in batch])
    parts = clock.timed("resize", lambda: _parts(images, tiling))
    found = [answer for chunk in chunks(parts, len(batch)) for answer in _scored(stages, chunk, run.class_name, clock)]
    # Of the method, which ran the tower again.
    clock.spent["method"] = max(0.0, clock.spent["method"] - clock.spent["tower"])
    maps = clock.timed("maps", lambda: _joined(images, parts, [anomaly_map for anomaly_map, _ in found]))
    scores = [
        max(score for part, (_, score) in zip(parts, found, strict=True) if part.number == n)
        for n in range(len(images))
    ]
    with ReportWriter(folder, replace(run, threshold=None, pixel_threshold=None, overlay="heat")) as report:
        answers = [
            (image, Prediction(image.source, run.class_name, score, None, anomaly_map))
            for image, score, anomaly_map in zip(images, scores, maps, strict=True)
        ]

        def write() -> None:
            for answer in answers:
                report.add(*answer)

        clock.timed("write", write)
    return clock.spent


def _scored(stages: Stages, parts: Sequence[_Part], class_name: str, clock: _Clock) -> list[tuple[np.ndarray, float]]:
    """The map and the score of each part."""
    images = [part.image for part in parts]
    pixels = stages.moved(clock.timed("resize", lambda: stages.prepare(images).pixels))
    clock.timed("tower", lambda: stages.method.clip.vision(pixels))
    evidence = clock.timed("method", lambda: stages.evidence(pixels, class_name))
    sizes = [image.size for image in images]
    maps = clock.timed("maps", lambda: [each.cpu().numpy() for each in stages.maps(evidence, sizes)])
    return list(zip(maps, evidence.score.tolist(), strict=True))


def _joined(images: Sequence[DecodedImage], parts: Sequence[_Part], maps: Sequence[np.ndarray]) -> list[np.ndarray]:
    """The maps of the images; one that is not cut is that of its only part."""
    if len(parts) == len(images):
        return [*maps]
    whole = [np.zeros(image.size, np.float32) for image in images]
    for part, anomaly_map in zip(parts, maps, strict=True):
        whole[part.number][part.where] += anomaly_map * part.weight
    return [np.clip(total, 0, 1) for total in whole]


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

"""One class of a data set: score its images, compare them with the ground truth, write the result."""

import hashlib
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool

from zsad.data.masks.ground_truth import read_ground_truth, resize_mask
from zsad.data.masks.warnings import MaskWarning
from zsad.errors import InputError
from zsad.evaluator.further import FurtherMetrics
from zsad.evaluator.plan import PlannedClass, PlannedImage
from zsad.evaluator.saved_maps import SavedMaps
from zsad.evaluator.worst_images import WorstImages
from zsad.metrics import ImageMetrics, PixelMetrics, Undefined
from zsad.metrics.counts import count_values
from zsad.metrics.functional import auroc_of
from zsad.metrics.per_image import ImageCounts
from zsad.pipeline import Answer
from zsad.predictor import Detector
from zsad.results import store
from zsad.results.schema import METRICS, PIXEL_METRICS, ClassResult, ImageResult, Metric, Protocol
from zsad.side_by_side import stream
from zsad.statistics.intervals import Draws, class_draws, interval, lack_masks, named, resamples
from zsad.types import DecodedImage, Failure, Prediction, Size

NO_MASKS, NO_IMAGES = "no masks", "no image could be read"


class ClassEvaluator:
    """Collects the results of a class image by image; keeps counts of pixels and a few numbers of each image."""

    def __init__(self, protocol: Protocol) -> None:
        self.protocol = protocol
        self.images: list[ImageResult] = []
        self.unreadable: dict[str, str] = {}
        self.without_mask = 0
        self.mask_warnings: Counter[MaskWarning] = Counter()
        self._image_metrics, self._pixel_metrics = ImageMetrics(), PixelMetrics()
        self._counts, self._worst, self._further = ImageCounts(), WorstImages(), FurtherMetrics(protocol)

    def add(self, item: PlannedImage, answer: tuple[DecodedImage, Prediction] | Failure) -> None:
        """Count an image, or note why it cannot be counted."""
        if isinstance(answer, Failure):
            self.unreadable[item.source] = answer.message
            return
        image, prediction = answer
        try:
            mask, warnings = ground_truth(item, image.size, prediction.size)
            self._further.add(item, image.size, prediction, mask)
        except InputError as error:
            self.unreadable[item.source] = str(error)
            return
        result = _image_result(item, prediction, mask)
        self._image_metrics.update([result.score], [result.label])
        if mask is None:
            self.without_mask += 1
        else:
            self._pixel_metrics.update([prediction.anomaly_map], [mask])
            self._counts.update(prediction.anomaly_map, mask)
        self.mask_warnings.update(warnings)
        self._worst.offer(result, image, prediction, mask)
        self.images.append(result)

    @property
    def has_no_masks(self) -> bool:
        """Whether there are anomalous images and none of them has a mask; metrics of pixels would mean nothing."""
        return lack_masks(self.images)

    def draws(self, *names: str) -> Draws:
        """All metrics that have intervals, of each resample, by the names of ``METRICS``."""
        if not self.protocol.resamples or not self.images:
            return {}
        weights = resamples([image.label for image in self.images], self.protocol.resamples, *names)
        return class_draws(self.images, self._counts, weights)

    def metrics(self, draws: Draws) -> dict[str, Metric]:
        """All metrics, with intervals where there are draws."""
        image, pixel = named("image", self._image_metrics.compute()), named("pixel", self._pixel_metrics.compute())
        if not self.images:
            return dict.fromkeys(METRICS, Metric(None, reason=NO_IMAGES))
        metrics = {name: self._metric(name, value, draws) for name, value in (image | pixel).items()}
        return metrics | (dict.fromkeys(PIXEL_METRICS, Metric(None, reason=NO_MASKS)) if self.has_no_masks else {})

    def further(self) -> dict[str, Metric]:
        """The metrics that the protocol asks for besides."""
        reason = NO_MASKS if self.has_no_masks else ""
        found = self._further.metrics(self._image_metrics, self._pixel_metrics, reason)
        return found if self.images else dict.fromkeys(found, Metric(None, reason=NO_IMAGES))

    def write(self, folder: Path, draws: Draws) -> None:
        """Write all files of the class except the last."""
        folder.mkdir(parents=True, exist_ok=True)
        store.write_images(self.images, folder)
        pixel = {} if self.has_no_masks else self._pixel_metrics.curves()
        store.write_curves(named("image", self._image_metrics.curves()) | named("pixel", pixel), folder)
        self._counts.save(folder / store.COUNTS)
        store.write_draws(draws, folder)
        self._worst.write(folder)

    def _metric(self, name: str, value: float | Undefined, draws: Draws) -> Metric:
        if isinstance(value, Undefined):
            return Metric(None, reason=value.reason)
        low, high = interval(draws[name], self.protocol.confidence) if name in draws else (None, None)
        return Metric(value, low, high)


def ground_truth(
    item: PlannedImage, own: Size, size: Size
) -> tuple[Bool[np.ndarray, "rows cols"] | None, tuple[MaskWarning, ...]]:
    """The mask of an image, blank for a normal one and None where there is none, and warnings on it.

    Args:
        item: the image.
        own: its size.
        size: of the result.

    Raises:
        InputError: the mask cannot be read, or is not one of this image.
    """
    if item.label == 0:
        return np.zeros(size, bool), ()
    if not item.sample.masks:
        return None, ()
    mask = read_ground_truth(item.sample.masks, own, item.sample.image)
    return resize_mask(mask.pixels, size), mask.warnings


def _image_result(
    item: PlannedImage, prediction: Prediction, mask: Bool[np.ndarray, "rows cols"] | None
) -> ImageResult:
    return ImageResult(
        source=item.source,
        content=item.content,
        label=item.label,
        kind=item.sample.kind,
        score=prediction.score,
        peak=float(prediction.anomaly_map.max()),
        anomalous_share=None if mask is None else float(mask.mean()),
        pixel_auroc=None if mask is None else _own_auroc(prediction.anomaly_map, mask),
        truth="" if mask is None else hashlib.sha256(np.packbits(mask).tobytes()).hexdigest()[:16],
    )


def _own_auroc(scores: np.ndarray, mask: Bool[np.ndarray, "rows cols"]) -> float | None:
    """AUROC of the pixels of one image, if it has both states."""
    if mask.all() or not mask.any():
        return None
    anomalous = scores[mask]
    auroc = auroc_of(count_values(scores.ravel(), anomalous, np.zeros(len(anomalous)), 0))
    assert isinstance(auroc, float)
    return auroc


@dataclass(frozen=True)
class Progress:
    """Where an evaluation stands.

    Attributes:
        data_set, class_name: what is being scored.
        scored: images of the class that are done.
        of: how many there will be.
    """

    data_set: str
    class_name: str
    scored: int
    of: int


Watch = Callable[[Progress], None]


@dataclass(frozen=True)
class ClassTask:
    """One class as one detector is to score it.

    Attributes:
        detector: scores the images, with the planned shots in its memory bank; or their maps.
        folder: for the files of the class.
        seen: how many of the images the detector was trained on.
    """

    detector: Detector | SavedMaps
    folder: Path
    seen: int


def evaluate_class(
    tasks: Sequence[ClassTask], planned: PlannedClass, protocol: Protocol, watch: Watch
) -> list[ClassResult]:
    """Score the images of a class; its files are in the folders when this returns, ``class.json`` last of all.

    Args:
        tasks: of one detector, or of several that can share the pass over an image; then no shots are planned.
        planned: the images.
        protocol: how maps and masks are compared.
        watch: called before the first image and after each.
    """
    start, device = time.perf_counter(), tasks[0].detector.runtime.device
    on_gpu = tasks[0].detector.runtime.device_type == "cuda"
    if on_gpu:
        torch.cuda.reset_peak_memory_stats(device)
    evaluators = [ClassEvaluator(protocol) for _ in tasks]
    watch(Progress(planned.data_set, planned.name, 0, len(planned.items)))
    size = None if protocol.resolution is None else (protocol.resolution, protocol.resolution)
    with showing_shots(tasks[0].detector, planned):
        answers = _answers([task.detector for task in tasks], planned, size)
        for number, (item, of_detectors) in enumerate(zip(planned.items, answers, strict=True), 1):
            for evaluator, answer in zip(evaluators, of_detectors, strict=True):
                evaluator.add(item, answer)
            watch(Progress(planned.data_set, planned.name, number, len(planned.items)))
    cost = time.perf_counter() - start, _peak_memory(device if on_gpu else None), len(tasks)
    return [_written(evaluator, task, planned, cost) for evaluator, task in zip(evaluators, tasks, strict=True)]


def _answers(
    judges: Sequence[Detector | SavedMaps], planned: PlannedClass, size: Size | None
) -> Iterator[tuple[Answer, ...]]:
    """For each image of a class the answers of all judges."""
    detectors = [judge for judge in judges if isinstance(judge, Detector)]
    if len(detectors) == len(judges):
        return stream(detectors, [item.sample.image for item in planned.items], planned.prompt, size)
    of_each = (judge.answers(planned, size) for judge in judges if isinstance(judge, SavedMaps))
    return zip(*of_each, strict=True)


def _written(
    evaluator: ClassEvaluator, task: ClassTask, planned: PlannedClass, cost: tuple[float, float, int]
) -> ClassResult:
    """The result of a class, after its files were written."""
    draws = evaluator.draws(planned.data_set, planned.name)
    evaluator.write(task.folder, draws)
    labels = [image.label for image in evaluator.images]
    seconds, memory, detectors = cost
    result = ClassResult(
        data_set=planned.data_set,
        class_name=planned.name,
        prompt=planned.prompt,
        normal=labels.count(0),
        anomalous=labels.count(1),
        unlabelled=planned.unlabelled,
        without_mask=evaluator.without_mask,
        unreadable=evaluator.unreadable,
        seen_in_training=task.seen,
        metrics=evaluator.metrics(draws),
        seconds=seconds,
        peak_memory_mb=memory,
        blank_masks=sum(image.label == 1 and image.anomalous_share == 0 for image in evaluator.images),
        mask_warnings=dict(sorted(evaluator.mask_warnings.items())),
        shots={shot.source: shot.content for shot in planned.shots},
        is_transductive=task.detector.scored_together,
        explanation=task.detector.explanation,
        further=evaluator.further(),
        detectors=detectors,
    )
    store.write_class(result, task.folder)
    return result


@contextmanager
def showing_shots(detector: Detector | SavedMaps, planned: PlannedClass) -> Iterator[None]:
    """The detector with a memory of this class alone, for as long as the block lasts; as it is where none is shown."""
    if not planned.shots or isinstance(detector, SavedMaps):
        yield
        return
    with detector.temporary_memory([shot.sample.image for shot in planned.shots], planned.prompt):
        yield


def _peak_memory(device: str | None) -> float:
    """Of a GPU, or of this process, in MB; 0 where the system does not tell."""
    if device is not None:
        return torch.cuda.max_memory_allocated(device) / 1e6
    if sys.platform == "win32":
        return 0.0
    from resource import RUSAGE_SELF, getrusage

    unit = 1 if sys.platform == "darwin" else 1024
    return getrusage(RUSAGE_SELF).ru_maxrss * unit / 1e6

"""One class of a data set: score its images, hold them against the truth, leave the result on disk."""

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

from zsad.evaluator import disk
from zsad.evaluator.class_evaluator import ClassEvaluator
from zsad.evaluator.plan import PlannedClass
from zsad.evaluator.results import ClassResult, Protocol
from zsad.evaluator.shots import shown
from zsad.predictor import Detector


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


def evaluate_class(
    detector: Detector, planned: PlannedClass, protocol: Protocol, folder: Path, seen: int, watch: Watch
) -> ClassResult:
    """Score the images of a class; its files are in ``folder`` when this returns, ``class.json`` last of all.

    Args:
        detector: looks at the images, after it was shown the normal ones that are planned for it.
        planned: the images.
        protocol: how maps and masks are compared.
        folder: of the class.
        seen: how many of the images the detector was trained on.
        watch: called before the first image and after each.
    """
    began, on_gpu = time.perf_counter(), torch.device(detector.settings.device).type == "cuda"
    if on_gpu:
        torch.cuda.reset_peak_memory_stats(detector.settings.device)
    gathered = ClassEvaluator(protocol)
    watch(Progress(planned.data_set, planned.name, 0, len(planned.items)))
    size = None if protocol.resolution is None else (protocol.resolution, protocol.resolution)
    with shown(detector, planned):
        answers = detector.stream([item.sample.image for item in planned.items], planned.prompt, size)
        for number, (item, answer) in enumerate(zip(planned.items, answers, strict=True), 1):
            gathered.add(item, answer)
            watch(Progress(planned.data_set, planned.name, number, len(planned.items)))
    seconds = time.perf_counter() - began
    draws = gathered.draws(planned.data_set, planned.name)
    gathered.write(folder, draws)
    labels = [image.label for image in gathered.images]
    result = ClassResult(
        data_set=planned.data_set,
        class_name=planned.name,
        prompt=planned.prompt,
        normal=labels.count(0),
        anomalous=labels.count(1),
        unlabelled=planned.unlabelled,
        without_mask=gathered.without_mask,
        unreadable=gathered.unreadable,
        seen_in_training=seen,
        metrics=gathered.metrics(draws),
        seconds=seconds,
        peak_memory_mb=_peak_memory(detector.settings.device if on_gpu else None),
        blank_masks=sum(image.label == 1 and image.anomalous_share == 0 for image in gathered.images),
        doubts=dict(sorted(gathered.doubts.items())),
        shots={shot.source: shot.content for shot in planned.shots},
    )
    disk.write_class(result, folder)
    return result


def _peak_memory(device: str | None) -> float:
    """Of a GPU, or of this process, in MB; 0 where the system does not tell."""
    if device is not None:
        return torch.cuda.max_memory_allocated(device) / 1e6
    if sys.platform == "win32":
        return 0.0
    from resource import RUSAGE_SELF, getrusage

    unit = 1 if sys.platform == "darwin" else 1024
    return getrusage(RUSAGE_SELF).ru_maxrss * unit / 1e6

"""Several detectors on the same images: each is read once, and those on one backbone share the pass over it."""

import os
from collections.abc import Hashable, Iterator, Sequence

from zsad.arguments import several
from zsad.methods._transductive import TransductiveMethod
from zsad.pipeline import Answer, run_together
from zsad.predictor import Detector
from zsad.types import Size


def share_backbones(detectors: Sequence[Detector]) -> None:
    """Let detectors on equal backbones use the same one; the others go, with the memory that they took."""
    kept = dict[Hashable, Detector]()
    for detector in detectors:
        first, own = kept.setdefault(_backbone(detector), detector), detector.method.clip
        for module in detector.method.modules():
            if getattr(module, "clip", None) is own:
                module.clip = first.method.clip


def groups(detectors: Sequence[Detector], count: int) -> list[list[int]]:
    """Indices of the detectors that can be run on one pass; a detector that can be with no other is alone.

    Args:
        detectors: after :func:`share_backbones`.
        count: of the images. A method that would score them by one another is alone.
    """
    found = dict[Hashable, list[int]]()
    for index, detector in enumerate(detectors):
        method = detector.method
        is_alone = isinstance(method, TransductiveMethod) and method.scores_folder(count)
        found.setdefault(index if is_alone else _backbone(detector), []).append(index)
    return list(found.values())


def stream(
    detectors: Sequence[Detector],
    sources: Sequence[str | os.PathLike[str]],
    class_name: str = "object",
    size: Size | None = None,
) -> Iterator[tuple[Answer, ...]]:
    """For each file the answers of all detectors, as :meth:`Detector.stream` gives those of one.

    Args:
        detectors: one, or several of a group of :func:`groups`.
        sources: paths.
        class_name: what they show, in plain English.
        size: (rows, cols) of all maps; by default each has the size of its image.

    Raises:
        ConfigError, InputError: as :meth:`Detector.stream`.
    """
    if len(detectors) == 1:
        for answer in detectors[0].stream(sources, class_name, size):
            yield (answer,)
        return
    paths = several(sources)
    pipelines = [detector.pipeline(paths, class_name, size) for detector in detectors]
    yield from run_together(pipelines, paths, detectors[0].read)


def _backbone(detector: Detector) -> Hashable:
    """What detectors have in common that can share a pass; nothing, where the tensors of a backbone are not known."""
    clip, runtime = detector.method.clip, detector.runtime
    if clip.fingerprint is None or detector.tiling is not None:
        return id(detector)
    tower = clip.fingerprint, clip.config.mean, clip.config.std
    seen = detector.image_size, detector.value_range
    return tower, seen, runtime.device, runtime.precision, runtime.images_at_once

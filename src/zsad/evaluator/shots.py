"""Few-shot evaluation: each class is judged by a memory of its own train split, and of nothing else."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from zsad.data.decode import decode
from zsad.errors import ConfigError
from zsad.evaluator.plan import PlannedClass, PlannedSet
from zsad.predictor import Detector
from zsad.wording import pluralised


def check_detector(detector: Detector) -> None:
    """Make sure that a detector can be shown normal images, and was shown none before.

    Raises:
        ConfigError: its method has no few-shot mode, it is not in fp32, or it remembers images already.
    """
    detector.few_shot()
    if detector.memory_summary:
        raise ConfigError(
            "a detector that is shown images of each class remembers none before",
            detector.memory_summary,
            "name the detector that zsad fit-normal was given, or leave --shots out to evaluate this memory",
        )


def check_images(planned: Sequence[PlannedSet]) -> None:
    """Make sure, before any work, that all images that will be shown can be read.

    Raises:
        InputError: one cannot; the message names it.
    """
    for data in planned:
        for one in data.classes:
            for shot in one.shots:
                decode(shot.sample.image)


@contextmanager
def shown(detector: Detector, planned: PlannedClass) -> Iterator[None]:
    """The detector with a memory of this class alone, for as long as the block lasts; as it is where none is shown."""
    if not planned.shots:
        yield
        return
    with detector.temporary_memory([one.sample.image for one in planned.shots], planned.prompt):
        yield


def warnings(planned: PlannedSet) -> list[str]:
    """What a reader must know of the images that are shown, in full sentences."""
    copies = {one.name: len(one.shots) - len({shot.content for shot in one.shots}) for one in planned.classes}
    return [
        f"{name}: {pluralised(count, 'copy', 'copies')} among the normal images that the detector was shown."
        for name, count in copies.items()
        if count
    ]

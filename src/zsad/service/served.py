"""What the service asks of a detector; an exported one answers without PyTorch."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, TypeVar

from zsad.errors import ConfigError
from zsad.export.exported import Answer, ExportedDetector
from zsad.types import DecodedImage, Failure

if TYPE_CHECKING:
    from zsad.predictor import Detector

T = TypeVar("T")
Read = Callable[[T], DecodedImage | Failure]


@dataclass(frozen=True)
class Abilities:
    """What a detector does with the images of a request; of an exported one, nothing but score each.

    Attributes:
        takes_normal: normal images can be given with a request: they are remembered without learning from them.
        needs_normal: it scores nothing without normal images.
        scores_together: images of a request are scored by one another.
        needs_several: an image alone has no score.
        only_class: the one class whose images it scores; None for any.
    """

    takes_normal: bool = False
    needs_normal: bool = False
    scores_together: bool = False
    needs_several: bool = False
    only_class: str | None = None


class Served:
    """A detector of the service; here an exported one.

    Attributes:
        name: that clients use.
        batch: images that go through it at once.
    """

    batch = 1

    def __init__(self, name: str, detector: "ExportedDetector | Detector") -> None:
        self.name, self.detector = name, detector

    @property
    def abilities(self) -> Abilities:
        """What it does with the images of a request."""
        assert isinstance(self.detector, ExportedDetector)
        card = self.detector.card
        return Abilities(only_class=card.class_name if card.uses_class_names else None)

    def scores_together(self, count: int) -> bool:
        """Whether so many images are scored by one another."""
        return False

    def told_alone(self) -> str:
        """What judges an image that is scored alone; may be empty."""
        return ""

    def run(self, class_name: str, sources: Iterable[T], read: Read[T]) -> Iterator[Answer]:
        """Answers for images that are scored one by one; sources are taken as they come."""
        assert isinstance(self.detector, ExportedDetector)
        return self.detector.stream(sources, class_name, read=read)

    def run_whole(
        self, class_name: str, sources: Sequence[T], read: Read[T], progress: Callable[[int], None]
    ) -> Iterator[Answer]:
        """Answers for images of one request, which may be scored by one another."""
        return self.detector.stream(sources, class_name, progress=progress, read=read)

    def temporary_memory(self, normal: Sequence[bytes], class_name: str) -> AbstractContextManager[None]:
        """Within, images are compared with normal ones.

        Raises:
            ConfigError: it does not compare.
        """
        raise ConfigError("a detector compares with normal images", self.name, "choose one that does")

    def described(self) -> dict[str, object]:
        """For clients."""
        detector, about = self.detector, self.detector.identity
        calibration = detector.calibration
        return {
            "name": self.name,
            "method": about.method,
            "backbone": about.backbone,
            "weights": about.weights.rpartition("/")[2],  # paths of this machine are nobody's business
            "image_size": detector.image_size,
            **asdict(self.abilities),
            "remembers": detector.memory_summary,
            "calibration": calibration.summary if calibration else "",
            "calibrated_class": calibration.class_name if calibration else None,
            "threshold": detector.threshold,
            "pixel_threshold": detector.pixel_threshold,
        }


def served(detectors: "Mapping[str, Detector | ExportedDetector]") -> dict[str, Served]:
    """Detectors as the service uses them; PyTorch is loaded where one needs it."""
    if all(isinstance(detector, ExportedDetector) for detector in detectors.values()):
        return {name: Served(name, detector) for name, detector in detectors.items()}
    from zsad.service.served_method import ServedMethod

    return {
        name: (Served if isinstance(detector, ExportedDetector) else ServedMethod)(name, detector)
        for name, detector in detectors.items()
    }

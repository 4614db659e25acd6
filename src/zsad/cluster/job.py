"""What is done with the images of a manifest, as every worker gets it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from zsad import export
from zsad.config import check_within
from zsad.errors import ConfigError

if TYPE_CHECKING:
    from zsad.export import ExportedDetector
    from zsad.predictor import Detector

MAX_SHARD = 1_000_000
"""Images."""


@dataclass(frozen=True)
class Job:
    """What is done with the images of a manifest; every worker gets it.

    Attributes:
        detector: name of a method, or folder or file of a saved or exported detector that every machine has under this
            path.
        arguments: keyword arguments of :func:`zsad.load`, or :func:`zsad.export.load`.
        pixel_threshold: score from which a pixel belongs to a region; None is that of the calibration.
        min_area: of the smallest region, in px.
        maps: whether anomaly maps are written, as 16-bit PNG.
        shard_size: images of a shard: what is lost at most when a worker dies.
    """

    detector: str
    arguments: Mapping[str, Any] = field(default_factory=dict)
    pixel_threshold: float | None = None
    min_area: int = 1
    maps: bool = False
    shard_size: int = 1000

    def __post_init__(self) -> None:
        check_within("the number of images in a shard (--shard-size)", self.shard_size, 1, MAX_SHARD)

    def load(self) -> "Detector | ExportedDetector":
        """The detector.

        Raises:
            ConfigError: it scores images by one another, which no shard holds all of; or as these functions.
        """
        detector = export.load(self.detector, **self.arguments) if export.is_exported(self.detector) else self._load()
        if self.pixel_threshold is not None:
            detector.pixel_threshold = self.pixel_threshold
        return detector

    def _load(self) -> "Detector":
        """A detector that needs PyTorch, which nothing else here loads."""
        from zsad.loading import load
        from zsad.methods import FewShot, TransductiveMethod

        detector = load(self.detector, **self.arguments)
        method = detector.method
        if isinstance(method, TransductiveMethod) and method.scores_folder(max(2, self.shard_size)):
            rule = "images of a manifest are scored one by one, so that shards do not change a score"
            value = f"{detector.card.method}, which compares the images of a folder with one another"
            fit = f"zsad fit {self.detector} --normal DIR --out DETECTOR first, or " * isinstance(method, FewShot)
            raise ConfigError(rule, value, f"{fit}name a detector such as --detector clip-ac")
        return detector

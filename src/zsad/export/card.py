"""What an exported detector says of itself, as JSON in the metadata of its file."""

import json
from dataclasses import asdict, dataclass
from typing import Literal

from zsad.calibration import Calibration
from zsad.config import from_mapping
from zsad.documents import DocumentError, read_json_object
from zsad.errors import ConfigError, InputError

KEY = "zsad"
"""Of the metadata."""
FORMAT = 1


@dataclass(frozen=True)
class Loss:
    """What int8 changes, as measured when the file was written.

    Attributes:
        images: how many it was measured on.
        of: what they are, in words.
        map_max, map_mean: absolute difference of anomaly maps, over all pixels.
        score_max: largest absolute difference of scores.
        map_correlation: of the maps, by Pearson, over all pixels of all images; None where a map is constant.
        rank_correlation: of the scores, by Spearman; None where all scores are equal.
    """

    images: int
    of: str
    map_max: float
    map_mean: float
    score_max: float
    map_correlation: float | None = None
    rank_correlation: float | None = None

    @property
    def summary(self) -> str:
        """All of it, on one line.

        >>> Loss(12, "drawn images", 0.008, 0.00053, 0.0038, 0.99987, 0.993).summary
        'maps differ from fp32 by up to 0.008 (mean 0.00053, correlation 0.9999), scores by up to 0.0038 \
(rank correlation 0.993), on 12 drawn images'
        """
        maps = "" if self.map_correlation is None else f", correlation {self.map_correlation:.4f}"
        ranks = "" if self.rank_correlation is None else f" (rank correlation {self.rank_correlation:.3f})"
        return (
            f"maps differ from fp32 by up to {self.map_max:.2g} (mean {self.map_mean:.2g}{maps}), scores by up to "
            f"{self.score_max:.2g}{ranks}, on {self.images} {self.of}"
        )


@dataclass(frozen=True)
class ExportCard:
    """The card of an exported detector.

    Attributes:
        name: for tables.
        method, backbone, weights, image_size: as of the detector that was exported; the weights as a sentence.
        class_name: what the images show.
        uses_class_names: whether the graph holds for that class alone.
        fingerprint: content hash of all that decides scores and maps of that detector.
        version: of zsad that wrote it.
        created: an ISO time.
        precision: of the products with weights of the towers.
        batch: how many images the graph takes at once; None for any number.
        threshold: score from which an image counts as anomalous, where one was given.
        pixel_threshold: the same of a pixel.
        calibration: of the detector.
        value_range: the samples that are black and white, of all images; None is that of each file.
        memory: what it remembers, in words.
        warnings: sentences about scoring images of this class with what it remembers.
        difference: largest of maps and scores from those of the detector, as measured when it was written.
        loss: with int8, what this changes.
        format: of this card.
    """

    name: str
    method: str
    backbone: str
    weights: str
    image_size: int
    class_name: str
    uses_class_names: bool
    fingerprint: str
    version: str
    created: str
    precision: Literal["fp32", "int8"] = "fp32"
    batch: int | None = None
    threshold: float | None = None
    pixel_threshold: float | None = None
    calibration: Calibration | None = None
    value_range: tuple[float, float] | None = None
    memory: str = ""
    warnings: tuple[str, ...] = ()
    difference: float = 0.0
    loss: Loss | None = None
    format: int = FORMAT

    def __post_init__(self) -> None:
        for threshold in (self.threshold, self.pixel_threshold):
            if threshold is not None and not 0 <= threshold <= 1:
                raise ConfigError("a threshold lies in [0, 1]", threshold, "export the detector again")
        if not 1 <= self.image_size <= 8192 or self.batch not in (None, 1):
            value = f"{self.image_size} px, {self.batch} at once"
            raise ConfigError("an exported detector takes images of 1 to 8192 px", value, "export the detector again")

    def to_json(self) -> str:
        """For the metadata of a file."""
        return json.dumps(asdict(self))


def from_json(text: str | bytes, source: str) -> ExportCard:
    """The card in the metadata of a file.

    Args:
        text: as :meth:`ExportCard.to_json` gives it.
        source: the file, for errors.

    Raises:
        InputError: it is no card, or one of a later version.
    """
    try:
        values = read_json_object(text)
        if type(values.get("format")) is int and values["format"] != FORMAT:
            raise ConfigError(f"the card has format {FORMAT}", values["format"], "install the version that wrote it")
        return from_mapping(ExportCard, values, f"the card in {source}")
    except (ConfigError, DocumentError) as error:
        rule = "an exported detector has a card of this version of zsad"
        raise InputError(rule, f"{source}: {error.rule}: {error.value}", "export the detector again") from error


def foreign(source: str) -> InputError:
    """The error for a file of the right kind that zsad did not write."""
    rule = "an exported detector is a file that zsad export wrote"
    return InputError(
        rule, f"{source}, which has no card of zsad, or another graph", "export a detector: zsad export DETECTOR"
    )

"""Images and the answers about them, in NumPy: reading, decisions and reports need no PyTorch."""

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, UInt8, UInt16

from zsad.errors import ConfigError, InputError
from zsad.regions import Region, find_regions

Size = tuple[int, int]
"""(rows, cols)"""


@dataclass(frozen=True)
class DecodedImage:
    """A decoded image at its own size, upright, in RGB.

    Attributes:
        pixels: uint8 for sources of up to 8 bits a sample and uint16 (full range 0..65535) for deeper ones.
        source: path, or another name.
        notes: how it was read, where that matters, such as ``"page 1 of 7 was read"``; usually empty.
    """

    pixels: UInt8[np.ndarray, "rows cols 3"] | UInt16[np.ndarray, "rows cols 3"]
    source: str
    notes: tuple[str, ...] = ()

    @property
    def size(self) -> Size:
        """(rows, cols) in pixels."""
        return self.pixels.shape[0], self.pixels.shape[1]


@dataclass(frozen=True)
class Prediction:
    """The result for one image.

    Attributes:
        source: path, or ``"image 0"`` for the first image in memory.
        class_name: the class name that was given for the image.
        score: anomaly score in [0, 1]; higher is more anomalous.
        threshold: the score from which an image counts as anomalous; None where no threshold was calibrated or given.
        anomaly_map: anomaly score of every pixel in [0, 1], at the image's own size unless another was asked for.
        p_value: in (0, 1]; of a normal image it is at most alpha with a probability of at most alpha. None where the
            detector is not calibrated.
        pixel_threshold: the anomaly of a pixel from which it counts as anomalous; None as for ``threshold``.

    Raises:
        InputError: a score is infinite or no number: compared with the threshold it would count as normal.
    """

    source: str
    class_name: str
    score: float
    threshold: float | None
    anomaly_map: Float32[np.ndarray, "rows cols"]
    p_value: float | None = None
    pixel_threshold: float | None = None

    def __post_init__(self) -> None:
        odd = int(self.anomaly_map.size - np.isfinite(self.anomaly_map).sum())
        if odd or not math.isfinite(self.score):
            value = f"{self.score}, and {odd} pixels without a finite score, for {self.source}"
            raise InputError("a score is a finite number", value, "run it in fp32; if it stays so, train or fit again")

    @property
    def is_anomalous(self) -> bool | None:
        """Whether the score reaches the threshold; None without a threshold."""
        return None if self.threshold is None else self.score >= self.threshold

    @property
    def size(self) -> Size:
        """(rows, cols) of the map in pixels."""
        return self.anomaly_map.shape[0], self.anomaly_map.shape[1]

    def as_dict(self, *, min_area: int = 1) -> dict[str, object]:
        """For JSON: source, class_name, score, threshold, is_anomalous, p_value, pixel_threshold, rows, cols, regions.

        Args:
            min_area: smaller regions are left out, in px.

        ``regions`` is None without a threshold for pixels, else the list of :meth:`zsad.regions.Region.as_dict`.
        """
        rows, cols = self.size
        found = None if self.pixel_threshold is None else self.regions(min_area=min_area)
        return {
            "source": self.source,
            "class_name": self.class_name,
            "score": self.score,
            "threshold": self.threshold,
            "is_anomalous": self.is_anomalous,
            "p_value": self.p_value,
            "pixel_threshold": self.pixel_threshold,
            "rows": rows,
            "cols": cols,
            "regions": None if found is None else [region.as_dict() for region in found],
        }

    def regions(self, threshold: float | None = None, *, min_area: int = 1) -> list[Region]:
        """The connected parts of the map at or above a threshold, the highest peak first.

        Args:
            threshold: score from which a pixel belongs to a region; by default the pixel threshold of the prediction.
            min_area: smaller regions are left out, in px.

        Raises:
            ConfigError: no threshold is given and the prediction has none, or as
                :func:`zsad.regions.find_regions`.
        """
        chosen = self.pixel_threshold if threshold is None else threshold
        if chosen is None:
            raise ConfigError(
                "regions need a threshold for pixels",
                "none, and a detector that is not calibrated",
                "give a score in [0, 1], or calibrate the detector",
            )
        return find_regions(self.anomaly_map, chosen, min_area=min_area)


@dataclass(frozen=True)
class Failure:
    """A source that could not be read, and why."""

    source: str
    message: str

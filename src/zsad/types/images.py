"""Images and the answers about them, in NumPy: reading, decisions and reports need no PyTorch."""

import json
import math
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
from jaxtyping import Float32, UInt8, UInt16
from PIL import Image

from zsad.errors import ConfigError, InputError
from zsad.files import unique_name, write_atomically
from zsad.regions import Region, find_regions
from zsad.wording import pluralised, printable

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
        image: what was scored, for drawings; None where it is not at hand.

    In a notebook it shows the image, the heat map over it, the scale, the score and the decision.

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
    image: DecodedImage | None = field(default=None, compare=False)

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

    def overlay(self, kind: Literal["heat", "outline"] = "heat", image: DecodedImage | None = None) -> Image.Image:
        """The image with its heat map over it, or with lines around its regions, as reports show it.

        Args:
            kind: ``"heat"`` or ``"outline"``.
            image: what was scored, where the prediction does not hold it.

        Raises:
            ConfigError: there is no image, or for outlines no threshold for pixels.
            InputError: the map has another size than the image.
        """
        from zsad.drawing.outlines import outlined
        from zsad.drawing.render import check_map, drawn_over

        shown = image or self.image
        if shown is None:
            raise ConfigError("an overlay is drawn over an image", "none", "give the image that was scored")
        if kind == "heat":
            return drawn_over(shown, self.anomaly_map)
        check_map(shown, self.anomaly_map)
        return outlined(shown, self.regions())

    def save(self, folder: str | os.PathLike[str], name: str | None = None) -> list[Path]:
        """Write ``NAME.json`` (:meth:`as_dict`), ``NAME-map.png`` (16-bit grey, 65535 is 1) and the overlay.

        Args:
            folder: made where it does not exist. Files of these names are replaced.
            name: by default that of the source, without its suffix.

        Returns:
            The files. The overlay is PNG, above half a megapixel JPEG; without an image of the map's size there is
            none.

        Raises:
            InputError: the folder cannot be written.
        """
        from zsad.drawing.render import encoded_image, encoded_map, overlay_suffix

        where = Path(folder) / unique_name(name or Path(self.source).stem, set(), "image")
        contents = {
            ".json": (json.dumps(self.as_dict(), indent=2) + "\n").encode(),
            "-map.png": encoded_map(self.anomaly_map),
        }
        if self._can_be_drawn:
            drawn = self.overlay()
            suffix = overlay_suffix(drawn)
            contents[f"-overlay{suffix}"] = encoded_image(drawn, suffix)
        paths = [where.with_name(where.name + ending) for ending in contents]
        try:
            for path, content in zip(paths, contents.values(), strict=True):
                write_atomically(path, content)
        except OSError as error:
            raise InputError("the folder of a prediction must be writable", error, "choose another") from error
        return paths

    @property
    def _can_be_drawn(self) -> bool:
        return self.image is not None and self.image.size == self.size

    def __repr__(self) -> str:
        rows, cols = self.size
        return f"<Prediction {printable(self.source)}: {', '.join(self._facts())}; map {rows} × {cols}>"

    def _facts(self) -> list[str]:
        """Class, score, decision and p-value in words."""
        facts = [self.class_name, f"score {self.score:.4f}"]
        if self.threshold is not None:
            facts.append(f"{'anomalous' if self.is_anomalous else 'normal'} (threshold {self.threshold:.4g})")
        return [*facts, f"p-value {self.p_value:.3g}"] if self.p_value is not None else facts

    def _repr_html_(self) -> str:
        """For notebooks."""
        from zsad.drawing import notebook
        from zsad.drawing.embedding import data_uri
        from zsad.drawing.render import colourise, eight_bit

        pictures = []
        if self.image is not None:
            pictures.append(("image", Image.fromarray(eight_bit(self.image.pixels))))
        heat = self.overlay() if self._can_be_drawn else Image.fromarray(colourise(self.anomaly_map))
        pictures.append(("heat map", heat))
        facts = self._facts()
        if self.pixel_threshold is not None:
            facts.append(pluralised(len(self.regions()), "region"))
        shown = [(what, data_uri(picture, notebook.SIDE)) for what, picture in pictures]
        return notebook.card(self.source, self.is_anomalous, facts, shown, self.pixel_threshold)


@dataclass(frozen=True)
class Failure:
    """A source that could not be read, and why."""

    source: str
    message: str

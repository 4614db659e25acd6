"""Saturation thresholds of annotated defects: how many pixels of a mask suffice, as MVTec LOCO AD and AutoVI say it.

The folder of a class holds ``defects_config.json``: a list of ``{"defect_name", "pixel_value", "saturation_threshold",
"relative_saturation"}``. Each mask file is one defect, whose kind is the value of its pixels. The threshold is a number
of pixels, or with ``relative_saturation`` a share of the pixels of the mask, rounded down.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Bool

from zsad.config import from_mapping
from zsad.data.masks.files import read_stored_mask
from zsad.data.masks.ground_truth import read_ground_truth, resize_mask
from zsad.documents import DocumentError, read_json
from zsad.errors import ConfigError, InputError
from zsad.types import Size

CONFIG = "defects_config.json"
"""Name of the file in the folder of a class."""


@dataclass(frozen=True)
class Saturation:
    """A kind of defect.

    Attributes:
        defect_name: for people.
        pixel_value: of the pixels of its masks, 1 to 255.
        saturation_threshold: pixels that suffice, or their share of the mask.
        relative_saturation: whether it is a share.
    """

    defect_name: str
    pixel_value: int
    saturation_threshold: float
    relative_saturation: bool

    def pixels(self, area: int) -> float:
        """How many pixels of a mask of that area suffice; at least 1.

        >>> Saturation("missing pushpin", 251, 0.5, True).pixels(101), Saturation("cut", 250, 40, False).pixels(30)
        (50, 30)
        """
        wanted = int(self.saturation_threshold * area) if self.relative_saturation else self.saturation_threshold
        return max(min(wanted, area), 1)


def read_saturations(path: Path) -> dict[int, Saturation]:
    """The kinds of defect of a class, by the value of their pixels.

    Raises:
        InputError: the file cannot be read as such.
    """
    try:
        entries = read_json(path)
        if not isinstance(entries, list):
            raise ConfigError("it is a list of kinds of defect", type(entries).__name__, "take the published file")
        kinds = [from_mapping(Saturation, entry, f"entry {number}") for number, entry in enumerate(entries)]
    except (OSError, DocumentError, ConfigError, AssertionError, TypeError, AttributeError) as error:
        remedy = "take the file that came with the data set"
        raise InputError("saturation thresholds can be read", f"{path}: {error}", remedy) from error
    for kind in kinds:
        if not kind.saturation_threshold > 0 or (kind.relative_saturation and kind.saturation_threshold > 1):
            value = f"{kind.saturation_threshold} of {kind.defect_name} in {path}"
            raise InputError("a saturation threshold is greater than 0, and a share at most 1", value, "correct it")
    return {kind.pixel_value: kind for kind in kinds}


def saturated_defects(
    masks: Sequence[Path], config: Path, own: Size, size: Size, image: Path
) -> list[tuple[Bool[np.ndarray, "rows cols"], float]]:
    """The mask of each defect at another size, and how many of its pixels suffice there.

    Thresholds are numbers of pixels of the image itself; at another size they are scaled as areas are. A defect of
    which no pixel is left at that size is left out.

    Args:
        masks: files, one a defect.
        config: ``defects_config.json`` of the class.
        own: (rows, cols) of the image.
        size: (rows, cols) at which maps are compared.
        image: the file of the image.

    Raises:
        InputError: a file cannot be read, or a mask has a value that the configuration does not name.
    """
    known, defects = read_saturations(config), []
    for path in masks:
        value = int(read_stored_mask(path).colours.max())
        if value not in known:
            found = f"{value} in {path}, not one of {', '.join(map(str, sorted(known)))}"
            raise InputError(f"the pixels of a mask have a value of {config}", found, "take the published masks")
        mask = read_ground_truth([path], own, image).pixels
        resized = resize_mask(mask, size)
        if resized.any():
            scale = size[0] * size[1] / (own[0] * own[1])
            defects.append((resized, known[value].pixels(int(mask.sum())) * scale))
    return defects

"""Warnings about how a mask was read, with the sentences in which checks and evaluations report them."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal

MaskWarning = Literal[
    "lossy-mask",
    "grey-mask",
    "coloured-background",
    "transparent-mask",
    "palette-mask",
    "mostly-anomalous",
    "turned-mask",
    "turned-otherwise",
]

EITHER_VIEW = "of an image with an EXIF rotation or flip, where the size does not tell which view it was drawn on"

MASK_WARNINGS: Mapping[MaskWarning, str] = MappingProxyType(
    {
        "lossy-mask": "with lossy compression: pixels above half of the brightest value count as anomalous",
        "grey-mask": "of more than two values: all pixels that are not background count as anomalous",
        "coloured-background": "without black: the most frequent colour of the border counts as background",
        "transparent-mask": "whose transparency marks the background: opaque pixels count as anomalous",
        "palette-mask": "with a palette whose colours and indices disagree: the colours count",
        "mostly-anomalous": "with more than half of all pixels, or of the border, anomalous: maybe inverted",
        "turned-mask": f"{EITHER_VIEW}: read as drawn on the stored pixels",
        "turned-otherwise": f"{EITHER_VIEW}: read as drawn on the stored pixels, although the upright view fits better",
    }
)
"""By the code of the warning: what follows the word "masks", or their number, in a sentence."""

"""What may be wrong with how a mask was read: the sentences that checks and evaluations say it with."""

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

EITHER_VIEW = "of an image that EXIF turns or mirrors, where the size does not tell the view it was drawn on"

MASK_WARNINGS: Mapping[MaskWarning, str] = MappingProxyType(
    {
        "lossy-mask": "with lossy compression: anomalous is what is above one half of the brightest value",
        "grey-mask": "of more than two values: anomalous is whatever is not the background",
        "coloured-background": "without black: the colour of most of the border counts as normal",
        "transparent-mask": "told from the background by transparency: what is opaque is anomalous",
        "palette-mask": "with a palette that shows something else than its numbers say: what can be seen counts",
        "mostly-anomalous": "with more than half of the pixels, or of the border, anomalous, as if inverted",
        "turned-mask": f"{EITHER_VIEW}: taken as drawn on the stored pixels",
        "turned-otherwise": f"{EITHER_VIEW}: taken as drawn on the stored pixels, though the upright view fits better",
    }
)
"""What follows the masks of which it holds, or their number."""

"""What may be wrong with how a mask was read: the sentences that checks and evaluations say it with."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal

Doubt = Literal[
    "lossy", "labels", "background", "transparency", "palette", "mostly anomalous", "turned", "turned otherwise"
]

DOUBTS: Mapping[Doubt, str] = MappingProxyType(
    {
        "lossy": "with lossy compression, cut at one half of the brightest value: edges may be off by a pixel, and "
        "what is darker is lost",
        "labels": "of more than two values: whatever is not the background is anomalous",
        "background": "without black: the colour of most of the border counts as normal",
        "transparency": "that tell what is anomalous by transparency: what is opaque is",
        "palette": "whose palette shows something else than its numbers say: what can be seen counts",
        "mostly anomalous": "that call more than half of the pixels, or of the border, anomalous: inverted ones do",
        "turned": "of pictures that EXIF turns or mirrors, where the size does not tell on which view they were drawn: "
        "taken as drawn on the stored pixels",
        "turned otherwise": "of pictures that EXIF turns or mirrors, where the size does not tell on which view they "
        "were drawn: taken as drawn on the stored pixels, though they fit the edges of the upright view better",
    }
)
"""What follows the number of masks of which it holds."""

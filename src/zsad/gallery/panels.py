"""The panels of one image: itself, the truth, and what each detector says."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont

from zsad.data.masks.ground_truth import read_mask, resize_mask
from zsad.data.specification import in_words
from zsad.drawing.render import PAPER, QUIET, colourise, eight_bit, overlay
from zsad.gallery.choice import GalleryCandidate
from zsad.parts.maps import resize
from zsad.types import DecodedImage, Prediction, Size

BLANK = (238, 239, 242)
"""Ground of a panel that has nothing to show but a word."""


@dataclass(frozen=True)
class Panel:
    """A drawing, and the line beneath it."""

    image: Image.Image
    beneath: str


@dataclass(frozen=True)
class Style:
    """How large everything is.

    Attributes:
        scale: pixels of the figure per unit; an inch of paper has 120 units.
        map_only: maps alone, not laid over their images.
        transposed: images beside each other, detectors below each other.
    """

    scale: float = 2.0
    map_only: bool = False
    transposed: bool = False

    def pixels(self, units: float) -> int:
        """Whole pixels."""
        return round(units * self.scale)

    def font(self, units: float) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
        """Letters of that size."""
        return ImageFont.load_default(units * self.scale)

    def box(self, size: Size) -> Size:
        """(rows, cols) in pixels at which an image is drawn.

        Images that stand in a column are equally wide, those in a line equally high, unless they are very long.
        """
        unit = SIDE / (size[0] if self.transposed else size[1])
        unit = min(unit, (WIDEST if self.transposed else LONGEST) * SIDE / max(size))
        return max(1, self.pixels(unit * size[0])), max(1, self.pixels(unit * size[1]))


SIDE = 180
"""Of a panel, in units."""
LONGEST, WIDEST = 1.5, 2.0
"""Of the other side of a panel, in sides: of images in a column, and in a line."""


def panels(
    candidate: GalleryCandidate, image: DecodedImage, predictions: Sequence[Prediction], style: Style
) -> list[Panel]:
    """The image, its truth, and a map a detector, all of one size.

    Raises:
        InputError: the mask cannot be read, or a map is not in [0, 1].
    """
    box = style.box(image.size)
    small = Image.fromarray(eight_bit(image.pixels)).resize(box[::-1], Image.Resampling.LANCZOS)
    caption = in_words(candidate.sample.class_name)
    if candidate.sample.label and candidate.sample.kind not in ("unknown", "anomalous"):
        caption += f", {in_words(candidate.sample.kind)}"
    shown = DecodedImage(np.asarray(small), candidate.source)
    return [
        Panel(small, caption),
        _truth(candidate, image.size, box, style),
        *(map_panel(shown, prediction, style) for prediction in predictions),
    ]


def _truth(candidate: GalleryCandidate, size: Size, box: Size, style: Style) -> Panel:
    """White on black; of a normal image, or where nobody has drawn one, the word."""
    if candidate.sample.label == 0:
        return Panel(_word("normal", box, style), "")
    if candidate.sample.mask is None:
        return Panel(_word("anomalous, no mask", box, style), "")
    mask = read_mask(candidate.sample.masks, size, candidate.sample.image)
    share = 100 * mask.mean()
    mask_image = Image.fromarray(resize_mask(mask, box).astype(np.uint8) * 255).convert("RGB")
    return Panel(mask_image, f"{share:.1f} % anomalous" if share >= 0.1 else "below 0.1 % anomalous")


def map_panel(shown: DecodedImage, prediction: Prediction, style: Style) -> Panel:
    """The heat map of an image that is already of the size at which it is drawn, and its score.

    Raises:
        InputError: the map is not in [0, 1].
    """
    anomaly = resize(torch.from_numpy(prediction.anomaly_map)[None], shown.size)[0].numpy()
    image = colourise(anomaly) if style.map_only else overlay(shown, anomaly)
    return Panel(Image.fromarray(image), f"{prediction.score:.3f}")


def _word(text: str, box: Size, style: Style) -> Image.Image:
    image = Image.new("RGB", box[::-1], BLANK)
    middle = box[1] / 2, box[0] / 2
    ImageDraw.Draw(image).text(middle, text, QUIET, style.font(14), anchor="mm")
    return image


def edged(image: Image.Image, style: Style) -> Image.Image:
    """With a hairline, so that an image with a white ground ends somewhere."""
    framed = image.copy()
    width = max(1, style.pixels(0.5))
    ImageDraw.Draw(framed).rectangle((0, 0, image.width - 1, image.height - 1), outline=EDGE, width=width)
    return framed


EDGE = tuple((side + 2 * paper) // 3 for side, paper in zip(QUIET, PAPER, strict=True))

"""Masks: the truth per pixel.

    files -> what each stores -> what is anomalous in it -> laid over the upright image -> any of them

Whatever has to be decided on the way, and could be decided otherwise, is a doubt, which checks of data sets and
evaluations report.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Shaped
from PIL import Image

from zsad.data.decode import decode
from zsad.data.decoding.pillow import orientation_of
from zsad.data.decoding.pixels import Pixels, upright
from zsad.data.masks.files import NOT_UPRIGHT, count_values, most_is_anomalous, read_stored_mask, values_of
from zsad.data.masks.labelme import draw_shapes
from zsad.data.masks.warnings import MaskWarning
from zsad.errors import InputError
from zsad.types import Size

CLEAR_RATIO = 1.5
"""How many times as strong the edges of an image must be along a mask for it to be the better place."""


@dataclass(frozen=True)
class GroundTruth:
    """Which pixels of an image are anomalous.

    Attributes:
        pixels: of the upright image.
        doubts: what may be wrong with it, in alphabetical order.
    """

    pixels: Bool[np.ndarray, "rows cols"]
    warnings: tuple[MaskWarning, ...]


@dataclass(frozen=True)
class Mask:
    """What a mask file says, before it is laid over an image.

    Attributes:
        values: of its pixels; 0 is the background.
        threshold: the value above which a pixel is anomalous.
        doubts: what may be wrong with that.
        is_upright: whether it is known to be drawn on the upright view of the image.
    """

    values: Shaped[np.ndarray, "rows cols"]
    threshold: float
    warnings: frozenset[MaskWarning]
    is_upright: bool = False

    @property
    def count(self) -> int:
        """How many different values there are."""
        return count_values(self.values)


def read_mask(masks: Path | Sequence[Path], size: Size, image: Path | None = None) -> Bool[np.ndarray, "rows cols"]:
    """Which pixels of an image are anomalous; see :func:`read_ground_truth`."""
    return read_ground_truth([masks] if isinstance(masks, Path) else masks, size, image).pixels


def read_ground_truth(masks: Sequence[Path], size: Size, image: Path | None = None) -> GroundTruth:
    """Which pixels of an image are anomalous: those that any of its masks marks.

    A mask marks what is not its background, which is black where there is black, else the colour of most of its border;
    in a file with lossy compression, what is above one half of the brightest value. Where pixels are transparent, it
    marks the others. A file ``*.json`` holds shapes of labelme.

    A mask is taken as drawn on the image's pixels as they are stored: where an image asks to be turned (EXIF), and
    is turned when it is decoded, its mask is turned with it. It was drawn on the upright image where only that has
    its size, where the mask itself says how it is turned, and in labelme.

    Args:
        masks: the files.
        size: (rows, cols) of the image that they belong to, upright.
        image: the file of that image; where not given, nothing is turned.

    Raises:
        InputError: a file cannot be read, or only by guessing, or its size is not the image's.
    """
    pixels, doubts = np.zeros(size, bool), set[MaskWarning]()
    for path in masks:
        marked, mask_doubts = orient_mask(read_mask_file(path), size, image)
        if marked.shape != size:
            raise InputError(
                "a mask has the size of its image",
                f"{path} of {marked.shape[0]}×{marked.shape[1]} px for {size[0]}×{size[1]} px",
                "check which image it belongs to",
            )
        pixels |= marked
        doubts |= mask_doubts
    return GroundTruth(pixels, tuple(sorted(doubts)))


def read_mask_file(path: Path) -> Mask:
    """What a mask file says.

    Raises:
        InputError: it cannot be read, or only by guessing.
    """
    if path.suffix.lower() == ".json":
        return Mask(draw_shapes(path), 0, frozenset(), is_upright=True)  # labelme shows images upright
    file = read_stored_mask(path)
    values, threshold, doubts = values_of(file, str(path))
    return Mask(values, threshold, frozenset(doubts), file.is_turned)


def orient_mask(
    mask: Mask, size: Size, image: Path | None
) -> tuple[Bool[np.ndarray, "upright_rows upright_cols"], set[MaskWarning]]:
    """What a mask marks, turned as its image is, and all that may be wrong with it; see :func:`read_ground_truth`.

    Raises:
        InputError: the image has to be looked at, and cannot be read.
    """
    marked, doubts = mask.values > mask.threshold, set(mask.warnings)
    if most_is_anomalous(marked):
        doubts.add("mostly-anomalous")
    orientation = None if image is None or mask.is_upright else orientation_of(image)
    if orientation not in NOT_UPRIGHT or image is None:
        return marked, doubts
    turned = upright(marked, orientation)
    if marked.shape == size != turned.shape:
        return marked, doubts
    if marked.shape == turned.shape == size and (marked != turned).any():
        shown = decode(image).pixels
        doubts.add(
            "turned-otherwise"
            if edge_strength(marked, shown) > CLEAR_RATIO * edge_strength(turned, shown)
            else "turned-mask"
        )
    return turned, doubts


def resize_mask(mask: Bool[np.ndarray, "rows cols"], size: Size) -> Bool[np.ndarray, "new_rows new_cols"]:
    """The mask at another size: resized bilinearly with antialiasing and cut at one half.

    As in the published code of VAND and its descendants, to the pixel.
    """
    if mask.shape == size:
        return mask
    resized = Image.fromarray(mask.astype(np.uint8) * 255).resize(size[::-1], Image.Resampling.BILINEAR)
    return np.asarray(resized) > 127


def edge_strength(mask: Bool[np.ndarray, "rows cols"], pixels: Pixels) -> float:
    """Mean step in brightness across the outline of a mask; 0 where it has none.

    Measured on the masks of magnetic tiles, ball screws, cookies, transistors and polyps, each beside its half turn and
    its two mirror images: where one of two is 1.5 times the other, it is the right one in 94 to 100 of 100.
    """
    grey = pixels.mean(axis=2, dtype=np.float32)
    steps = [np.abs(np.diff(grey, axis=axis))[np.diff(mask, axis=axis)] for axis in (0, 1)]
    across = np.concatenate(steps)
    return float(across.mean()) if across.size else 0.0

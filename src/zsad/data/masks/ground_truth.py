"""The ground truth per pixel, from mask files.

    files -> stored samples of each -> anomalous pixels of each -> oriented as the upright image -> union

Wherever a mask can be read in more than one way, the result has a warning, which checks of data sets and evaluations
report.
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
"""How many times stronger image edges along one orientation of a mask must be than along the other to prefer it."""


@dataclass(frozen=True)
class GroundTruth:
    """Which pixels of an image are anomalous.

    Attributes:
        pixels: True where the upright image is anomalous.
        warnings: codes of what may have been read wrongly, in alphabetical order.
    """

    pixels: Bool[np.ndarray, "rows cols"]
    warnings: tuple[MaskWarning, ...]


@dataclass(frozen=True)
class Mask:
    """The content of a mask file, before it is oriented as its image.

    Attributes:
        values: of its pixels; 0 is the background.
        threshold: the value above which a pixel is anomalous.
        warnings: codes of what may have been read wrongly.
        is_upright: whether it is known to be drawn on the upright view of the image (after its EXIF orientation).
    """

    values: Shaped[np.ndarray, "rows cols"]
    threshold: float
    warnings: frozenset[MaskWarning]
    is_upright: bool = False

    @property
    def count(self) -> int:
        """The number of different values."""
        return count_values(self.values)


def read_mask(masks: Path | Sequence[Path], size: Size, image: Path | None = None) -> Bool[np.ndarray, "rows cols"]:
    """Which pixels of an image are anomalous; see :func:`read_ground_truth`."""
    return read_ground_truth([masks] if isinstance(masks, Path) else masks, size, image).pixels


def read_ground_truth(masks: Sequence[Path], size: Size, image: Path | None = None) -> GroundTruth:
    """Which pixels of an image are anomalous: those that any of its masks marks.

    All pixels that are not background are anomalous. Background is black where the mask has black, else the most
    frequent colour of its border; in a file with lossy compression, all up to half of the brightest value. Where some
    pixels are transparent, these are background. A file ``*.json`` holds shapes of labelme.

    A mask is read as drawn on the stored pixels of its image: where the image has an EXIF orientation, which is applied
    when it is decoded, the same is applied to the mask. It is read as drawn on the upright image where only that has
    its size, where the mask has an orientation of its own, and in labelme.

    Args:
        masks: the files.
        size: (rows, cols) of the image that they belong to, upright.
        image: the file of that image; where not given, no orientation is applied.

    Raises:
        InputError: a file cannot be read, or not without guessing, or its size differs from that of the image.
    """
    pixels, warnings = np.zeros(size, bool), set[MaskWarning]()
    for path in masks:
        anomalous, mask_warnings = orient_mask(read_mask_file(path), size, image)
        if anomalous.shape != size:
            raise InputError(
                "a mask has the size of its image",
                f"{path} of {anomalous.shape[0]}×{anomalous.shape[1]} px for {size[0]}×{size[1]} px",
                "check which image it belongs to",
            )
        pixels |= anomalous
        warnings |= mask_warnings
    return GroundTruth(pixels, tuple(sorted(warnings)))


def read_mask_file(path: Path) -> Mask:
    """The content of a mask file.

    Raises:
        InputError: it cannot be read, or not without guessing.
    """
    if path.suffix.lower() == ".json":
        return Mask(draw_shapes(path), 0, frozenset(), is_upright=True)  # labelme shows images upright
    file = read_stored_mask(path)
    values, threshold, warnings = values_of(file, str(path))
    return Mask(values, threshold, frozenset(warnings), file.is_upright)


def orient_mask(
    mask: Mask, size: Size, image: Path | None
) -> tuple[Bool[np.ndarray, "upright_rows upright_cols"], set[MaskWarning]]:
    """The anomalous pixels of a mask in the orientation of its image, and warnings; see :func:`read_ground_truth`.

    Raises:
        InputError: the image is needed to decide on the orientation, and cannot be read.
    """
    anomalous, warnings = mask.values > mask.threshold, set(mask.warnings)
    if most_is_anomalous(anomalous):
        warnings.add("mostly-anomalous")
    orientation = None if image is None or mask.is_upright else orientation_of(image)
    if orientation not in NOT_UPRIGHT or image is None:
        return anomalous, warnings
    rotated = upright(anomalous, orientation)
    if anomalous.shape == size != rotated.shape:
        return anomalous, warnings
    if anomalous.shape == rotated.shape == size and (anomalous != rotated).any():
        shown = decode(image).pixels
        warnings.add(
            "turned-otherwise"
            if edge_strength(anomalous, shown) > CLEAR_RATIO * edge_strength(rotated, shown)
            else "turned-mask"
        )
    return rotated, warnings


def resize_mask(mask: Bool[np.ndarray, "rows cols"], size: Size) -> Bool[np.ndarray, "new_rows new_cols"]:
    """The mask at another size: resized bilinearly with antialiasing, thresholded at one half.

    Identical to the published code of VAND and of the methods built on it.
    """
    if mask.shape == size:
        return mask
    resized = Image.fromarray(mask.astype(np.uint8) * 255).resize(size[::-1], Image.Resampling.BILINEAR)
    return np.asarray(resized) > 127


def edge_strength(mask: Bool[np.ndarray, "rows cols"], pixels: Pixels) -> float:
    """Mean difference in brightness across the outline of a mask; 0 where it has none.

    Measured on the masks of magnetic tiles, ball screws, cookies, transistors and polyps, each compared with its
    rotation by 180° and its two flips: where the edge strength of one is 1.5 times that of the other, it is right in 94
    to 100 %.
    """
    grey = pixels.mean(axis=2, dtype=np.float32)
    steps = [np.abs(np.diff(grey, axis=axis))[np.diff(mask, axis=axis)] for axis in (0, 1)]
    across = np.concatenate(steps)
    return float(across.mean()) if across.size else 0.0

"""Defects drawn into an image, each with its exact mask.

``draw_defect`` picks a kind from the one table ``KINDS``, paints it in a small window and composites it through its
mask, so that nothing changes outside of the mask. The foreign texture behind a Perlin mask follows DRAEM (Zavrtanik et
al., ICCV 2021), the misplaced patch follows CutPaste (Li et al., CVPR 2021), and patches of widely varied size that
stay on the object follow NSA (Schlüter et al., ECCV 2022); the other kinds imitate what inspectors and physicians mark.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, UInt8
from PIL import Image, ImageFilter

from zsad.data.synthetic import damage, marks
from zsad.data.synthetic.canvas import Colours, ramp, to_bytes
from zsad.data.synthetic.site import DefectLayer, Site, choose_site
from zsad.errors import InputError, unknown_name

DRAWN = 0.15
"""Pixels that a defect covers by more than this share may belong to its mask."""
VISIBLE = 6
"""A change of at least so many of 255 levels in one channel is visible."""
NEAR, NEAR_SHARE = 2, 1 / 8
"""A pixel of the mask has a visible change within ``NEAR + NEAR_SHARE * radius`` pixels, so that it has no pinholes."""
FEWEST = 4
"""Minimum number of visibly changed pixels of a defect."""
TRIES = 6
"""Maximum attempts to draw a visible defect; then one is filled with a contrasting colour."""


@dataclass(frozen=True)
class Defect:
    """An image with a defect.

    Attributes:
        image: equals the input wherever the mask is False.
        mask: True where the defect was drawn and is visible; never empty.
        kind: one of ``KINDS``.
    """

    image: UInt8[np.ndarray, "rows cols 3"]
    mask: Bool[np.ndarray, "rows cols"]
    kind: str


@dataclass(frozen=True)
class DefectKind:
    """A kind of defect: its painter, and whether it sits on an edge rather than anywhere."""

    paint: Callable[[Site], DefectLayer]
    on_edge: bool = False


KINDS: Mapping[str, DefectKind] = {
    "bent part": DefectKind(damage.bent, on_edge=True),
    "blur": DefectKind(damage.blur, on_edge=True),
    "chipped edge": DefectKind(damage.chip, on_edge=True),
    "colour shift": DefectKind(damage.discoloured),
    "contamination": DefectKind(marks.contamination),
    "crack": DefectKind(marks.crack),
    "dent": DefectKind(damage.dent),
    "filled hole": DefectKind(damage.filled, on_edge=True),
    "foreign texture": DefectKind(damage.foreign),
    "growth": DefectKind(damage.growth),
    "hole": DefectKind(damage.hole),
    "misplaced patch": DefectKind(damage.misplaced),
    "missing part": DefectKind(damage.missing, on_edge=True),
    "pitting": DefectKind(marks.pitting),
    "print error": DefectKind(marks.print_error),
    "scratch": DefectKind(marks.scratch),
    "stain": DefectKind(marks.stain),
}
"""Every kind of defect by its name in plain words."""


def draw_defect(
    rng: np.random.Generator,
    image: UInt8[np.ndarray, "rows cols 3"],
    foreground: Bool[np.ndarray, "rows cols"] | None = None,
    kind: str | None = None,
    donor: UInt8[np.ndarray, "donor_rows donor_cols 3"] | None = None,
) -> Defect:
    """Draws one defect into a copy of the image.

    Args:
        rng: the only source of randomness; the same state gives the same defect.
        image: at least 8 by 8 pixels.
        foreground: where the object is; the defect stays inside. Everywhere if not given.
        kind: one of ``KINDS``; uniformly random if not given.
        donor: source of foreign texture; a random surface if not given.

    Raises:
        ConfigError: the kind is unknown.
        InputError: an image or mask has the wrong type, shape or size, or the foreground is empty.
    """
    refuse_unusable(image, foreground, donor)
    if kind is not None and kind not in KINDS:
        raise unknown_name("kind of defect", kind, KINDS)
    name = kind or str(rng.choice(list(KINDS)))
    for _ in range(TRIES):
        site = choose_site(rng, image, foreground, donor, KINDS[name].on_edge)
        fewest = min(FEWEST, int(np.count_nonzero(site.inside)))
        patch, mask = _composited(site, KINDS[name].paint(site), fewest)
        if mask.any():
            return _placed(site, patch, mask, name)
    return _placed(site, *_composited(site, _contrast(site), fewest=1), name)


def _composited(
    site: Site, layer: DefectLayer, fewest: int
) -> tuple[UInt8[np.ndarray, "rows cols 3"], Bool[np.ndarray, "rows cols"]]:
    """The window with the layer on it, and its mask, which is empty if too few pixels change visibly."""
    before = to_bytes(site.base)
    after = to_bytes(site.base + (layer.paint - site.base) * layer.cover[..., None])
    change = np.abs(after.astype(np.int16) - before).max(2) >= VISIBLE
    touched = (layer.cover > DRAWN) & site.inside
    change &= touched
    if np.count_nonzero(change) < fewest:
        return before, np.zeros_like(touched)
    mask = touched & _near(change, NEAR + int(NEAR_SHARE * site.radius))
    return np.where(mask[..., None], after, before), mask


def _near(change: Bool[np.ndarray, "rows cols"], reach: int) -> Bool[np.ndarray, "rows cols"]:
    """Where a changed pixel lies within a reach (of at most 10, beyond which the box mean rounds to nothing)."""
    spread = Image.fromarray(change.astype(np.uint8) * np.uint8(255)).filter(ImageFilter.BoxBlur(reach))
    return np.asarray(spread, dtype=np.bool_)


def _contrast(site: Site) -> DefectLayer:
    """A clearly visible disc, for images in which a kind of defect is invisible (a blur of a plain wall)."""
    rows, cols = np.indices(site.size, dtype=np.float32)
    distance = np.hypot(rows - np.float32(site.centre[0]), cols - np.float32(site.centre[1]))
    opposite: Colours = np.where(site.base < 128, site.base + 110, site.base - 110)
    return DefectLayer(opposite, ramp(np.float32(site.radius) - distance))


def _placed(
    site: Site, patch: UInt8[np.ndarray, "rows cols 3"], mask: Bool[np.ndarray, "rows cols"], kind: str
) -> Defect:
    """Insert the window into the whole image."""
    window = tuple(slice(first, first + extent) for first, extent in zip(site.corner, site.size, strict=True))
    image, full_mask = site.image.copy(), np.zeros(site.image.shape[:2], np.bool_)
    image[window], full_mask[window] = patch, mask
    return Defect(image, full_mask, kind)


def refuse_unusable(image: np.ndarray, foreground: np.ndarray | None, donor: np.ndarray | None) -> None:
    """Raises InputError for arrays of any kind that ``draw_defect`` cannot work with."""
    for what, array in (("an image", image), ("a donor", donor if donor is not None else image)):
        if array.dtype != np.uint8 or array.ndim != 3 or array.shape[2] != 3 or min(array.shape[:2]) < 8:
            rule = f"{what} is uint8 of rows, cols and 3 channels, and at least 8 by 8 pixels"
            raise InputError(rule, f"{array.dtype} {array.shape}", "convert it to 8-bit RGB and enlarge it")
    if foreground is None:
        return
    if foreground.dtype != np.bool_ or foreground.shape != image.shape[:2]:
        value = f"{foreground.dtype} {foreground.shape} for an image of {image.shape[:2]}"
        raise InputError("a foreground is bool of the image's rows and cols", value, "compare the mask with > 0")
    if not foreground.any():
        raise InputError("a foreground has at least one pixel", "none", "pass None to draw anywhere")

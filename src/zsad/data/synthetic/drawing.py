"""A synthetic data set, image by image.

>>> example = draw(Drawing(side=64, damaged=1.0), number=0)
>>> outside = ~example.scene.mask
>>> example.good.shape, example.scene.mask.any(), (example.harmed == example.good)[outside].all()
((64, 64, 3), np.True_, np.True_)

Image ``number`` depends on nothing but the ``Drawing`` and the number. Harmless changes that would hide the
defects, as greyscale hides a tint, are skipped, so that every mask marks something visible.
"""

from copy import deepcopy
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from zsad.config import check_seed, check_within
from zsad.data.decode import decode
from zsad.data.synthetic.canvas import to_bytes
from zsad.data.synthetic.defects import FEWEST, VISIBLE
from zsad.data.synthetic.distractions import distract
from zsad.data.synthetic.objects import part
from zsad.data.synthetic.scenes import Scene, crop, harm, unharmed, vary
from zsad.data.synthetic.surfaces import surface
from zsad.errors import ConfigError, InputError
from zsad.files import unique_name

LEAST_SIDE = 32
GREATEST_SIDE, MOST_IMAGES = 8192, 10_000_000
LONGEST = 8
"""A whole photograph is at most so many times as long as it is wide."""
SPLITS = ("train", "test")

Pixels = UInt8[np.ndarray, "rows cols 3"]


@dataclass(frozen=True)
class Drawing:
    """Settings of a synthetic data set; the same values give the same images.

    Attributes:
        images: their number.
        side: of each in px; of a whole photograph the shorter side.
        seed: of all random choices, 0 or more.
        damaged: share of the images that get one to three defects, in [0, 1].
        photographs: files of good images, drawn on in turn.
        share: of the images that use photographs, in [0, 1]; the others are synthetic surfaces and parts.
        crop: random square crops of the photographs, with at least this share of their shorter side, in (0, 1]; None
            for whole photographs.
        class_name: what the photographs show; the name of a folder.
    """

    images: int = 1000
    side: int = 224
    seed: int = 0
    damaged: float = 0.5
    photographs: tuple[str, ...] = ()
    share: float = 0.0
    crop: float | None = None
    class_name: str = "photograph"

    def __post_init__(self) -> None:
        _hold("a data set has at least one image", self.images >= 1, self.images, "draw 1 or more")
        rule, remedy = f"a drawn image has a side of at least {LEAST_SIDE} px", f"use {LEAST_SIDE} or more"
        _hold(rule, self.side >= LEAST_SIDE, self.side, remedy)
        _hold("a seed is not negative", self.seed >= 0, self.seed, "use 0 or more")
        check_seed(self.seed)
        check_within("a side of a drawn image in px", self.side, LEAST_SIDE, GREATEST_SIDE)
        check_within("the number of drawn images", self.images, 1, MOST_IMAGES)
        for what, value in (("damaged images", self.damaged), ("photographs", self.share)):
            _hold(f"the share of {what} lies in [0, 1]", 0 <= value <= 1, value, "use a number such as 0.5")
        rule = "a cut square has a share of the photograph's shorter side in (0, 1]"
        _hold(rule, self.crop is None or 0 < self.crop <= 1, self.crop, "use a number such as 0.5")
        is_plain = self.share == 0 and self.crop is None and self.class_name == "photograph"
        rule = "a share of photographs, squares cut from them, and a name for them need photographs"
        _hold(rule, self.photographs or is_plain, "none", "name photographs of good parts")
        rule = "a class is called by letters, digits, '_', '-' and '.', and not train or test"
        _hold(rule, _is_folder_name(self.class_name), repr(self.class_name), "use a noun such as metal_nut")


def _hold(rule: str, holds: object, value: object, remedy: str) -> None:
    if not holds:
        raise ConfigError(rule, value, remedy)


def _is_folder_name(text: str) -> bool:
    return text == unique_name(text, set(), "class") and text not in SPLITS


@dataclass(frozen=True)
class Example:
    """An image of a synthetic data set, and its origin.

    Attributes:
        class_name: of its folder: ``surface``, ``part``, or the drawing's for photographs.
        good: the image without defects and changes.
        harmed: with its defects; equals ``good`` outside of the mask.
        scene: as written: ``harmed`` with harmless changes of the whole image, with mask and kinds.
        unusable: photographs that were skipped, with the reasons.
    """

    class_name: str
    good: Pixels
    harmed: Pixels
    scene: Scene
    unusable: dict[str, str]


def draw(drawing: Drawing, number: int) -> Example:
    """One image of the data set.

    Raises:
        InputError: it is made of a photograph, and none can be drawn on.
        DependencyError: a photograph is a DICOM file, and the extra ``dicom`` is not installed.
    """
    rng = np.random.default_rng([drawing.seed, number])
    unusable: dict[str, str] = {}
    foreground, is_repeated = None, False
    if rng.random() < drawing.share:
        class_name = drawing.class_name
        good, is_repeated = _photographed(rng, drawing, number, unusable)
    elif rng.random() < 0.5:
        class_name, good = "surface", surface(rng, (drawing.side, drawing.side))[0]
    else:
        class_name = "part"
        good, _, foreground = part(rng, (drawing.side, drawing.side))
    harmed = harm(rng, good, foreground) if rng.random() < drawing.damaged else unharmed(good)
    shown = Scene(_varied(rng, good, harmed, is_repeated), harmed.mask, harmed.kinds)
    return Example(class_name, good, harmed.image, shown, unusable)


def _varied(rng: np.random.Generator, good: Pixels, harmed: Scene, is_repeated: bool) -> Pixels:
    """Harmless changes, unless they hide the defects; always applied to a repeated good image."""
    twin = deepcopy(rng)  # makes the same changes of the good image
    image = vary(rng, harmed.image)
    if harmed.kinds:
        return image if image is harmed.image or _shows(vary(twin, good), image, harmed) else harmed.image
    return distract(rng, image) if is_repeated and np.array_equal(image, good) else image


def _shows(good: Pixels, image: Pixels, harmed: Scene) -> bool:
    """Whether enough of the defects is visible."""
    change = np.abs(image.astype(np.int16) - good).max(2) >= VISIBLE
    return int(np.count_nonzero(change & harmed.mask)) >= FEWEST


def _photographed(
    rng: np.random.Generator, drawing: Drawing, number: int, unusable: dict[str, str]
) -> tuple[Pixels, bool]:
    """The next usable photograph, and whether it is uncropped and repeated."""
    files = drawing.photographs
    order = np.random.default_rng([drawing.seed, 0, 1]).permutation(len(files))
    for turn in range(number, number + len(files)):
        path = files[order[turn % len(files)]]
        try:
            if drawing.crop is not None:
                return crop(rng, eight_bits(path), drawing.side, drawing.crop), False
            return _whole(path, drawing.side), turn >= len(files) or turn > number
        except InputError as error:
            unusable[path] = str(error)
    raise InputError("a photograph can be drawn on", next(iter(unusable.values())), "name other photographs")


@lru_cache(maxsize=1)
def eight_bits(path: str) -> Pixels:
    """The pixels of a file, in 8 bits."""
    pixels = decode(Path(path)).pixels
    return pixels if pixels.dtype == np.uint8 else to_bytes(pixels * np.float32(1 / 257))


@lru_cache(maxsize=1)
def _whole(path: str, side: int) -> Pixels:
    """Resized with its aspect ratio."""
    image = Image.fromarray(eight_bits(path))
    shorter, longer = sorted(image.size)
    if longer > LONGEST * shorter:
        rule = f"a whole photograph is at most {LONGEST} times as long as wide"
        raise InputError(rule, f"{path} of {image.height} x {image.width} px", "cut squares from it instead")
    size = (round(image.width * side / shorter), round(image.height * side / shorter))
    return np.asarray(image.resize(size, Image.Resampling.BICUBIC))

"""What a mask file holds -> what is anomalous in it: one value a pixel, 0 for the background, and where to cut."""

import numpy as np
from jaxtyping import Bool, Shaped

from zsad.data._mask_files import StoredMask
from zsad.data.doubts import Doubt
from zsad.errors import InputError

NOISE = 31
"""Of 255: values up to this may be noise of a lossy file about black."""

Values = Shaped[np.ndarray, "rows cols"]
Colours = Shaped[np.ndarray, "rows cols channels"]


def values_of(stored: StoredMask, name: str) -> tuple[Values, float, set[Doubt]]:
    """(values, above which of them a pixel is anomalous, what may be wrong with that).

    Values are the brightest of the colours where the background is black; what is far from its colour where it is
    another; opacity where only that tells; numbers of a palette whose colours are all the same.

    Raises:
        InputError: the background cannot be told, or a lossy file is so dark that noise and marks are the same.
    """
    values, doubts = _values(stored, name)
    several = count(values) > 2
    if stored.loss == "none" or (stored.loss == "possible" and not several):
        cut = 0.0
        doubts |= {"grey-mask"} if several else set()
    else:
        cut = _half(values, name)
        doubts |= {"lossy-mask"} if several else set()
    if stored.numbers is not None and ((stored.numbers > 0) != (values > cut)).any():
        doubts |= {"palette-mask"}
    return values, cut, doubts


def _values(stored: StoredMask, name: str) -> tuple[Values, set[Doubt]]:
    if stored.opacity is not None:
        return _by_opacity(stored, name)
    if stored.numbers is not None and stored.numbers.any() and _is_plain(stored.colours):
        return stored.numbers, {"palette-mask"}
    return _by_colour(stored.colours, _noise(stored), name)


def _by_opacity(stored: StoredMask, name: str) -> tuple[Values, set[Doubt]]:
    """What is opaque is anomalous, unless black and other colours are seen: then what is opaque and not black."""
    assert stored.opacity is not None
    seen, brightest = stored.opacity > 0, stored.colours.max(axis=2)
    if not seen.any() and not _is_plain(stored.colours):
        value = f"{name}: transparent everywhere, with colours beneath"
        raise InputError("a mask shows what it marks", value, "save it without transparency")
    lit = brightest > _noise(stored)
    if (lit & seen).any() and (~lit & seen).any():
        values = np.where(seen, brightest, brightest.dtype.type(0))
    else:
        values = stored.opacity
    return values, {"transparent-mask"} if ((values > 0) != lit).any() else set()


def _by_colour(colours: Colours, noise: float, name: str) -> tuple[Values, set[Doubt]]:
    """The background is black where there is black, else the colour of most of the border and of the mask."""
    brightest = colours.max(axis=2)
    if (brightest <= noise).any() or _is_plain(colours, noise):
        return brightest, set()
    edge = np.concatenate([colours[0], colours[-1], colours[:, 0], colours[:, -1]])
    background = _commonest(edge) if noise == 0 else np.median(edge, axis=0).astype(colours.dtype)
    distance = np.where(colours > background, colours - background, background - colours).max(axis=2)
    normal = distance <= noise
    if min(_border(normal).mean(), normal.mean()) <= 0.5:
        value = f"{name}: no black, and no colour that most of the border and of the mask has"
        raise InputError("the background of a mask is black", value, "save it with 0 for normal, as PNG")
    return distance, {"coloured-background"}


def _half(values: Values, name: str) -> float:
    """Of the brightest value, so that neither labels of 100 are lost nor the noise about an edge counts."""
    brightest = float(values.max())
    if 0 < brightest <= _full(values) * NOISE / 255:
        value = f"{name}: no value above {brightest:g} of {_full(values):g}, in a file with lossy compression"
        raise InputError("marks of a mask are brighter than noise", value, "save it anew, as PNG")
    return brightest // 2 if values.dtype.kind != "f" else brightest / 2


def most_is_anomalous(mask: Bool[np.ndarray, "rows cols"]) -> bool:
    """Whether more than half of the pixels are, or of those on the border: as in an inverted mask."""
    return bool(mask.mean() > 0.5 or _border(mask).mean() > 0.5)


def _border(mask: Bool[np.ndarray, "rows cols"]) -> Bool[np.ndarray, "pixels"]:
    return np.concatenate([mask[0], mask[-1], mask[1:-1, 0], mask[1:-1, -1]])


def _noise(stored: StoredMask) -> float:
    return 0.0 if stored.loss == "none" or count(stored.colours) <= 2 else _full(stored.colours) * NOISE / 255


def _full(values: Shaped[np.ndarray, "..."]) -> float:
    return 1.0 if values.dtype.kind == "f" else float(np.iinfo(values.dtype).max)


def count(values: Shaped[np.ndarray, "..."]) -> int:
    """How many different values there are."""
    if values.dtype == np.uint8:
        return int(np.count_nonzero(np.bincount(values.ravel(), minlength=256)))
    return len(np.unique(values))


def _is_plain(colours: Colours, noise: float = 0) -> bool:
    """Whether all pixels have one colour."""
    low, high = colours.min(axis=(0, 1)), colours.max(axis=(0, 1))
    return bool((high - low <= noise).all())


def _commonest(colours: Shaped[np.ndarray, "pixels channels"]) -> Shaped[np.ndarray, "channels"]:
    different, counts = np.unique(colours, axis=0, return_counts=True)
    return different[counts.argmax()]

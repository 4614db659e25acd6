"""Mask files -> one value a pixel, 0 for the background, and the threshold above which a pixel is anomalous.

file -> samples as they are stored, at their own depth, transparency and palette next to the colours
     -> what is anomalous in them
"""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from jaxtyping import Bool, Shaped
from PIL import ExifTags, Image

from zsad.data import kinds
from zsad.data.decode import decode
from zsad.data.decoding import netpbm, tiff
from zsad.data.decoding.guard import Stream, check_size, reading
from zsad.data.decoding.pillow import DEEP_MODES, deep_samples, is_deep_colour
from zsad.data.decoding.pixels import upright
from zsad.data.decoding.tiff import check_pages
from zsad.data.decoding.tiff_segments import check_segments
from zsad.data.masks.warnings import MaskWarning
from zsad.errors import InputError

if TYPE_CHECKING:
    import tifffile

FORMATS = ("PNG", "JPEG", "BMP", "WEBP", "GIF", "PPM", "AVIF", "JPEG2000")
"""Of Pillow, by signature; none of them runs a foreign program. TIFF goes by way of tifffile."""

Loss = Literal["none", "possible", "certain"]
"""Whether pixels may differ from those that were saved. JPEG 2000 and AVIF do not say: the reversible transform of JPEG
2000 can be truncated at a rate too."""

LOSSES: dict[str, Loss] = {"JPEG": "certain", "MPO": "certain", "AVIF": "possible", "JPEG2000": "possible"}


Colours = Shaped[np.ndarray, "rows cols colours"]
Layer = Shaped[np.ndarray, "rows cols"]
Samples = tuple[Colours, Layer | None, Layer | None]
"""Colours, opacity, numbers of a palette."""


@dataclass(frozen=True)
class StoredMask:
    """The samples of a mask file.

    Attributes:
        colours: grey or RGB, not negative.
        opacity: 0 is transparent; None where the file has no alpha channel, or a constant one.
        numbers: palette indices; None where there is no palette.
        loss: of the compression.
        is_upright: whether the file has an orientation of its own, which has been applied to all of this.
    """

    colours: Colours
    opacity: Layer | None = None
    numbers: Layer | None = None
    loss: Loss = "none"
    is_upright: bool = False


READ_BY_PILLOW = (
    None,
    kinds.PNG,
    kinds.JPEG,
    kinds.BMP,
    kinds.GIF,
    kinds.WEBP,
    kinds.NETPBM,
    kinds.AVIF,
    kinds.JPEG_2000,
)
"""Formats whose samples Pillow returns unchanged."""
NOT_UPRIGHT = range(2, 9)
"""EXIF orientations other than upright."""
TIFF_COLOURS = (tiff.WHITE_IS_ZERO, tiff.BLACK_IS_ZERO, tiff.RGB)


def read_stored_mask(path: Path) -> StoredMask:
    """Read the samples of a mask file.

    Raises:
        InputError: it is missing, broken or too large, in a format that is not supported for masks, has several pages,
            or values that are negative or not finite.
    """
    name = str(path)
    if not path.is_file():
        reason = "a folder or a device" if os.path.exists(path) else "it does not exist"
        raise InputError("a mask is a file", f"{name}: {reason}", "check the path")
    with reading(name):
        stream = path.open("rb")
    with stream:
        mask = _of_kind(stream, name)
    if not np.isfinite(mask.colours).all() or mask.colours.min() < 0:
        value = f"{name} with values from {mask.colours.min()} to {mask.colours.max()}"
        raise InputError("values of a mask are finite, and not negative", value, "save it again with 0 for normal")
    return mask


def _of_kind(stream: Stream, name: str) -> StoredMask:
    with reading(name):
        head = stream.read(kinds.HEAD_LENGTH)
        stream.seek(0)
    kind = kinds.kind_of(head, name)
    if kind is not None and (kind.refused is not None or kind is kinds.DICOM):
        raise InputError("a mask is an image, or JSON of labelme", f"{name}: {kind.name}", "save it as PNG")
    if kind is kinds.TIFF:
        return _of_tiff(stream, name)
    if kind is kinds.NETPBM and (decoded := netpbm.samples_of(stream, name)):
        if decoded[1]:
            raise _several(name, "an image after the first")
        return StoredMask(*_split(decoded[0]))
    if kind not in READ_BY_PILLOW:
        return StoredMask(decode(name).pixels, loss="possible", is_upright=True)
    with reading(name), Image.open(stream, formats=FORMATS) as image:
        check_size(image.height, image.width, name)
        frames: int = getattr(image, "n_frames", 1)
        if image.format != "MPO" and frames > 1:  # the others of a JPEG are previews
            raise _several(name, f"{frames} frames")
        loss = _loss_of_webp(stream) if image.format == "WEBP" else LOSSES.get(str(image.format), "none")
        samples = _samples(image, name)  # first: to look for EXIF in a PNG is to load it
        return _oriented(*samples, loss, image.getexif().get(ExifTags.Base.Orientation))


def _loss_of_webp(stream: Stream) -> Loss:
    """Lossless WebP has its pixels in a chunk VP8L, lossy WebP in VP8; both may follow VP8X and other chunks."""
    stream.seek(12)
    while len(chunk := stream.read(8)) == 8:
        if chunk[:4] in (b"VP8L", b"VP8 "):
            return "none" if chunk[:4] == b"VP8L" else "certain"
        length = int.from_bytes(chunk[4:], "little")
        stream.seek(length + length % 2, os.SEEK_CUR)
    return "certain"


def _oriented(
    colours: Colours, opacity: Layer | None, numbers: Layer | None, loss: Loss, orientation: object
) -> StoredMask:
    """Apply the orientation of the file, where it has one. One that says it is upright was drawn on an upright view."""
    has_orientation = isinstance(orientation, int) and 1 <= orientation <= 8
    layers = [None if layer is None else upright(layer, orientation) for layer in (opacity, numbers)]
    return StoredMask(upright(colours, orientation), layers[0], layers[1], loss, is_upright=has_orientation)


def _samples(image: Image.Image, name: str) -> Samples:
    if is_deep_colour(image):
        return *_split(deep_samples(image)[0]), None
    image.load()
    if image.mode in DEEP_MODES:
        grey, clear = np.asarray(image).astype(np.uint16), image.info.get("transparency")
        return grey[..., None], (grey != clear).astype(np.uint8) if isinstance(clear, int) else None, None
    if image.mode in ("I", "F"):
        return np.asarray(image)[..., None], None, None
    if image.mode not in ("1", "L", "P", "RGB", "RGBX", "YCbCr", "LA", "La", "PA", "RGBA", "RGBa"):
        raise InputError("a mask is grey, RGB or indexed", f"{name}: mode {image.mode}", "save it as PNG")
    numbers = np.asarray(image) if image.mode == "P" else None
    if image.mode == "La":
        image = image.convert("LA")
    if image.has_transparency_data:
        return *_split(np.asarray(image.convert("RGBA"))), numbers
    samples = np.asarray(image.convert("L" if image.mode in ("1", "L") else "RGB"))
    return samples.reshape(*samples.shape[:2], -1), None, numbers


def _split(samples: Shaped[np.ndarray, "rows cols channels"]) -> tuple[Colours, Layer | None]:
    """Colours, and the alpha channel where there is one that is not constant."""
    channels = samples.shape[2]
    colours = 1 if channels < 3 else 3
    if channels == colours or samples[..., colours].min() == samples[..., colours].max() > 0:
        return samples[..., :colours], None
    return samples[..., :colours], samples[..., colours]


def _of_tiff(stream: Stream, name: str) -> StoredMask:
    """By Pillow up to 8 bits, with all compressions of libtiff; else by tifffile, which supports all sample types."""
    from tifffile import TiffFile

    if pages := check_pages(stream, name):
        raise _several(name, *pages)
    stream.seek(0)
    with reading(name), TiffFile(stream) as file:
        page = file.pages[0].aspage()
        check_size(page.imagelength, page.imagewidth, name)
        loss, orientation = _loss_of_tiff(page.compression), page.tags.valueof(tiff.ORIENTATION, 1)
        if page.dtype not in (np.uint8, np.bool_):
            samples = _by_tifffile(page, name, stream)
            return _oriented(*samples, loss, orientation if orientation in NOT_UPRIGHT else None)
    stream.seek(0)
    with reading(name), Image.open(stream, formats=("TIFF",)) as image:  # Pillow applies the orientation
        return StoredMask(*_samples(image, name), loss=loss, is_upright=orientation in NOT_UPRIGHT)


def _loss_of_tiff(compression: int) -> Loss:
    from tifffile import COMPRESSION

    if compression in (COMPRESSION.OJPEG, COMPRESSION.JPEG):
        return "certain"
    names = {scheme.name for scheme in COMPRESSION if scheme == compression}
    return "possible" if any(word in name for name in names for word in ("JP", "WEBP", "LERC", "LOG")) else "none"


def _by_tifffile(page: "tifffile.TiffPage", name: str, stream: Stream) -> Samples:
    """Unscaled values, signed and floating-point too; inverted where zero is white."""
    check_segments(page, stream, name)
    is_inverted = page.photometric == tiff.WHITE_IS_ZERO
    is_odd = page.dtype is None or page.dtype.kind not in "uif" or (is_inverted and page.dtype.kind != "u")
    if is_odd or page.axes not in ("YX", "YXS", "SYX") or page.photometric not in TIFF_COLOURS:
        value = f"{name}: axes {page.axes}, photometric interpretation {page.photometric}, samples {page.dtype}"
        raise InputError("a mask is grey or RGB", value, "save it as PNG")
    values = page.asarray()
    values = np.moveaxis(values, 0, 2) if page.axes == "SYX" else values.reshape(*values.shape[:2], -1)
    if is_inverted:
        values = np.iinfo(values.dtype).max - values
    colours = 3 if page.photometric == tiff.RGB else 1
    has_opacity = page.extrasamples[:1] in ((tiff.ALPHA,), (tiff.PREMULTIPLIED,))
    return *_split(values[..., : colours + has_opacity]), None


def _several(name: str, value: str) -> InputError:
    return InputError("a mask file holds one mask", f"{name}: {value}", "save each mask in a file of its own")


NOISE = 31
"""Of 255: values up to this may be compression noise around black."""

Values = Shaped[np.ndarray, "rows cols"]


def values_of(stored: StoredMask, name: str) -> tuple[Values, float, set[MaskWarning]]:
    """(values, threshold above which a pixel is anomalous, warnings).

    Values are the maximum over the colour channels where the background is black; the distance from its colour where it
    is not; opacity where only that separates them; palette indices where all colours of the palette are the same.

    Raises:
        InputError: the background cannot be determined, or a lossy file is so dark that its marks cannot be separated
            from noise.
    """
    values, warnings = _values(stored, name)
    several = count_values(values) > 2
    if stored.loss == "none" or (stored.loss == "possible" and not several):
        threshold = 0.0
        warnings |= {"grey-mask"} if several else set()
    else:
        threshold = _half(values, name)
        warnings |= {"lossy-mask"} if several else set()
    if stored.numbers is not None and ((stored.numbers > 0) != (values > threshold)).any():
        warnings |= {"palette-mask"}
    return values, threshold, warnings


def _values(stored: StoredMask, name: str) -> tuple[Values, set[MaskWarning]]:
    if stored.opacity is not None:
        return _by_opacity(stored, name)
    if stored.numbers is not None and stored.numbers.any() and _is_plain(stored.colours):
        return stored.numbers, {"palette-mask"}
    return _by_colour(stored.colours, _noise(stored), name)


def _by_opacity(stored: StoredMask, name: str) -> tuple[Values, set[MaskWarning]]:
    """Opaque pixels are anomalous; where black and other colours are visible, only those that are not black."""
    assert stored.opacity is not None
    visible, brightest = stored.opacity > 0, stored.colours.max(axis=2)
    if not visible.any() and not _is_plain(stored.colours):
        value = f"{name}: transparent everywhere, with colours under it"
        raise InputError("a mask has visible marks", value, "save it without transparency")
    lit = brightest > _noise(stored)
    if (lit & visible).any() and (~lit & visible).any():
        values = np.where(visible, brightest, brightest.dtype.type(0))
    else:
        values = stored.opacity
    return values, {"transparent-mask"} if ((values > 0) != lit).any() else set()


def _by_colour(colours: Colours, noise: float, name: str) -> tuple[Values, set[MaskWarning]]:
    """Background is black where there is black, else the colour of most of the border and of most of the mask."""
    brightest = colours.max(axis=2)
    if (brightest <= noise).any() or _is_plain(colours, noise):
        return brightest, set()
    edge = np.concatenate([colours[0], colours[-1], colours[:, 0], colours[:, -1]])
    background = _most_frequent(edge) if noise == 0 else np.median(edge, axis=0).astype(colours.dtype)
    distance = np.where(colours > background, colours - background, background - colours).max(axis=2)
    normal = distance <= noise
    if min(_border(normal).mean(), normal.mean()) <= 0.5:
        value = f"{name}: neither black nor a colour of most of the border and most of the mask"
        raise InputError("the background of a mask is black", value, "save it with 0 for normal, as PNG")
    return distance, {"coloured-background"}


def _half(values: Values, name: str) -> float:
    """Half of the brightest value: keeps labels such as 100, and leaves out compression noise at edges."""
    brightest = float(values.max())
    if 0 < brightest <= _full(values) * NOISE / 255:
        value = f"{name}: no value above {brightest:g} of {_full(values):g}, in a file with lossy compression"
        raise InputError("marks of a mask are brighter than noise", value, "save it again, as PNG")
    return brightest // 2 if values.dtype.kind != "f" else brightest / 2


def most_is_anomalous(mask: Bool[np.ndarray, "rows cols"]) -> bool:
    """Whether more than half of all pixels, or of those on the border, are anomalous, as in an inverted mask."""
    return bool(mask.mean() > 0.5 or _border(mask).mean() > 0.5)


def _border(mask: Bool[np.ndarray, "rows cols"]) -> Bool[np.ndarray, "pixels"]:
    return np.concatenate([mask[0], mask[-1], mask[1:-1, 0], mask[1:-1, -1]])


def _noise(stored: StoredMask) -> float:
    return 0.0 if stored.loss == "none" or count_values(stored.colours) <= 2 else _full(stored.colours) * NOISE / 255


def _full(values: Shaped[np.ndarray, "..."]) -> float:
    return 1.0 if values.dtype.kind == "f" else float(np.iinfo(values.dtype).max)


def count_values(values: Shaped[np.ndarray, "..."]) -> int:
    """The number of different values."""
    if values.dtype == np.uint8:
        return int(np.count_nonzero(np.bincount(values.ravel(), minlength=256)))
    return len(np.unique(values))


def _is_plain(colours: Colours, noise: float = 0) -> bool:
    """Whether all pixels have one colour."""
    low, high = colours.min(axis=(0, 1)), colours.max(axis=(0, 1))
    return bool((high - low <= noise).all())


def _most_frequent(colours: Shaped[np.ndarray, "pixels channels"]) -> Shaped[np.ndarray, "channels"]:
    different, counts = np.unique(colours, axis=0, return_counts=True)
    return different[counts.argmax()]

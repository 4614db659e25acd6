"""Anomaly maps as images: one fixed colour scale, overlays, legends and 16-bit map files.

The scale runs from 0 to 1 and is the same in every image. It is never stretched to an image's own minimum and
maximum: that makes the hottest spot of a good part look as bad as a defect.
"""

from functools import cache
from io import BytesIO
from pathlib import Path
from typing import Literal

import numpy as np
from jaxtyping import Float32, UInt8, UInt16
from PIL import Image, ImageDraw, ImageFont

from zsad.drawing.picture import Picture
from zsad.drawing.png import grey_16
from zsad.errors import ConfigError, InputError
from zsad.files import replacing

ANCHORS = (
    (13, 8, 135),
    (76, 2, 161),
    (126, 3, 168),
    (170, 35, 149),
    (204, 71, 120),
    (230, 108, 92),
    (248, 149, 64),
    (253, 197, 39),
    (240, 249, 33),
)
"""The colours of 0, 1/8, ..., 1 in sRGB: nine stations of matplotlib's "plasma" (CC0).

It grows evenly in lightness from dark blue to yellow, keeps its order for colour-blind readers and in grey print, and
differs from every grey."""

OPACITY = 0.85
"""Opacity of the heat map where the anomaly is 1."""

SATURATION = 0.7
"""How much of its own colour an image keeps under a heat map, so that the colours of the scale stand out."""

STRIP = 2**22
"""Pixels blended at a time, so that an image of 100 megapixels needs little more memory than its overlay."""

LARGEST_PNG = 500_000
"""Overlays of more pixels are JPEG: as PNG, a photograph of one megapixel takes twenty times as long, and 1 MB."""

Overlay = Literal["heat", "outline"]
"""What is drawn over an image: the heat map, or lines around its regions."""

INK, QUIET, PAPER = (24, 27, 33), (104, 110, 122), (255, 255, 255)


def colourise(anomaly_map: Float32[np.ndarray, "rows cols"]) -> UInt8[np.ndarray, "rows cols 3"]:
    """The colours of a map on the fixed scale from 0 to 1; equal values get equal colours in every image.

    Raises:
        InputError: for a value outside [0, 1], or one that is not a number.

    >>> colourise(np.array([[0, 0.5, 1]], np.float32)).tolist()
    [[[13, 8, 135], [204, 71, 120], [240, 249, 33]]]
    """
    _check_range(anomaly_map)
    return _heat(anomaly_map)


def overlay(
    image: Picture, anomaly_map: Float32[np.ndarray, "rows cols"], opacity: float = OPACITY
) -> UInt8[np.ndarray, "rows cols 3"]:
    """The heat map laid over its image, at the image's own size.

    Opacity follows a smooth step from 0 (at anomaly 0) to ``opacity`` (at anomaly 1): a normal part looks like its
    photograph, lightly desaturated, and a defect is covered by the colours of the scale.

    Args:
        image: 8 or 16 bits a sample; 16 bits are shown over their full range.
        anomaly_map: in [0, 1], of the image's size.
        opacity: in [0, 1], reached where the anomaly is 1.

    Raises:
        InputError: for a map of another size than its image's, or with values outside [0, 1].
        ConfigError: for an opacity outside [0, 1].
    """
    return np.asarray(drawn_over(image, anomaly_map, opacity))


def drawn_over(image: Picture, anomaly_map: Float32[np.ndarray, "rows cols"], opacity: float = OPACITY) -> Image.Image:
    """The :func:`overlay` as an image of Pillow, without another copy."""
    check_map(image, anomaly_map)
    if not 0 <= opacity <= 1:
        raise ConfigError("an opacity lies in [0, 1]", opacity, f"give a number such as {OPACITY}")
    height = max(1, STRIP // image.size[1])
    strips = (slice(top, top + height) for top in range(0, image.size[0], height))
    drawn = (_blended(eight_bit(image.pixels[rows]), anomaly_map[rows], opacity) for rows in strips)
    if image.size[0] <= height:
        return next(drawn)
    whole = Image.new("RGB", image.size[::-1])
    for number, strip in enumerate(drawn):
        whole.paste(strip, (0, number * height))
    return whole


def check_map(image: Picture, anomaly_map: Float32[np.ndarray, "rows cols"]) -> None:
    """Check that a map can be drawn over an image.

    Raises:
        InputError: for a map of another size than its image's, or with values outside [0, 1].
    """
    _check_range(anomaly_map)
    if image.size != anomaly_map.shape:
        rule = "an anomaly map has the size of its image"
        raise InputError(rule, f"{anomaly_map.shape} for {image.size}", "resize the map to the image first")


def eight_bit(
    pixels: UInt8[np.ndarray, "rows cols 3"] | UInt16[np.ndarray, "rows cols 3"],
) -> UInt8[np.ndarray, "rows cols 3"]:
    """Pixels for a screen: uint8 as they are, uint16 from 0..65535 to 0..255, rounded."""
    if pixels.dtype == np.uint8:
        return pixels
    return ((pixels.astype(np.uint32) + 128) // 257).astype(np.uint8)


def legend(threshold: float | None = None, width: int = 480) -> Image.Image:
    """The colour bar with 0, 0.25, 0.5, 0.75 and 1, and a mark at the threshold where one is given.

    Args:
        threshold: in [0, 1].
        width: of the drawing in pixels, at least 160; type and bar grow with it.

    Raises:
        ConfigError: for a threshold outside [0, 1] or a width below 160.
    """
    if threshold is not None and not 0 <= threshold <= 1:
        raise ConfigError("a threshold lies in [0, 1]", threshold, "give a number such as 0.5")
    _check_width(width, 160)
    unit = min(max(width / 480, 0.6), 2)
    left, right = round(24 * unit), width - round(24 * unit)
    top = round((32 if threshold is None else 54) * unit)
    bottom = top + round(16 * unit)
    sheet = Image.new("RGB", (width, bottom + round(28 * unit)), PAPER)
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(13 * unit)
    draw.text((left, 8 * unit), "Anomaly, fixed scale", INK, font)
    bar = colourise(np.linspace(0, 1, right - left, dtype=np.float32)[None])
    sheet.paste(Image.fromarray(bar).resize((right - left, bottom - top), Image.Resampling.NEAREST), (left, top))
    for value in (0, 0.25, 0.5, 0.75, 1):
        x = left + value * (right - left - 1)
        draw.line((x, bottom, x, bottom + 4 * unit), QUIET, max(1, round(unit)))
        draw.text((x, bottom + 7 * unit), f"{value:g}", QUIET, font, anchor="ma")
    if threshold is not None:
        _draw_threshold(draw, threshold, (left, right - 1), (top, bottom), unit)
    return sheet


def save_map(anomaly_map: Float32[np.ndarray, "rows cols"], path: Path) -> None:
    """Write a map as a 16-bit grey PNG, value = round(65535 * anomaly), exact to 1/65535.

    The file appears whole or not at all.

    Raises:
        InputError: for a value outside [0, 1], or one that is not a number.
    """
    content = encoded_map(anomaly_map)
    with replacing(path) as temporary:
        temporary.write_bytes(content)


def encoded_map(anomaly_map: Float32[np.ndarray, "rows cols"]) -> bytes:
    """The content of the file of :func:`save_map`, which names the errors."""
    _check_range(anomaly_map)
    return grey_16(anomaly_map)


def save_image(image: Image.Image, path: Path) -> None:
    """Write an image as PNG, or as JPEG where the name ends in .jpg; the file appears whole or not at all."""
    content = encoded_image(image, path.suffix)
    with replacing(path) as temporary:
        temporary.write_bytes(content)


def encoded_image(image: Image.Image, suffix: str) -> bytes:
    """The content of the file of :func:`save_image`."""
    buffer = BytesIO()
    if suffix == ".jpg":
        image.save(buffer, "JPEG", quality=92, subsampling=0)
    else:
        image.save(buffer, "PNG", compress_level=3)
    return buffer.getvalue()


def overlay_suffix(drawn: Image.Image) -> str:
    """Of an overlay's file. JPEG has no room for sides above 65,500 pixels."""
    return ".jpg" if drawn.width * drawn.height > LARGEST_PNG and max(drawn.size) <= 65500 else ".png"


def _check_width(width: int, least: int) -> None:
    if width < least:
        raise ConfigError(f"this drawing is at least {least} pixels wide", width, "give a larger width")


def _check_range(anomaly_map: Float32[np.ndarray, "rows cols"]) -> None:
    low, high = float(anomaly_map.min(initial=0)), float(anomaly_map.max(initial=0))
    if not (low >= 0 and high <= 1):
        raise InputError("an anomaly map lies in [0, 1]", f"{low:g} to {high:g}", "give probabilities")


def _steps(values: Float32[np.ndarray, "*shape"], count: int) -> UInt16[np.ndarray, "*shape"]:
    """[0, 1] to the nearest of ``count`` even steps, 0 to count - 1."""
    return np.rint(values * np.float32(count - 1)).astype(np.uint16)


def _heat(anomaly_map: Float32[np.ndarray, "rows cols"]) -> UInt8[np.ndarray, "rows cols 3"]:
    at, steps = np.linspace(0, 256, len(ANCHORS)), np.arange(257)  # 257 steps, of which every anchor is one
    table = np.stack([np.interp(steps, at, channel) for channel in np.array(ANCHORS).T], 1)
    return np.take(np.rint(table).astype(np.uint8), _steps(anomaly_map, 257), axis=0)


def _blended(
    pixels: UInt8[np.ndarray, "rows cols 3"], anomaly: Float32[np.ndarray, "rows cols"], opacity: float
) -> Image.Image:
    """By tables of 256 steps, within three levels of the formula."""
    colours, cover = _tables(opacity)
    steps = Image.fromarray((anomaly * np.float32(255) + np.float32(0.5)).astype(np.uint8))
    photo, mask = Image.fromarray(pixels), steps.point(cover)
    muted = Image.blend(photo.convert("L").convert("RGB"), photo, SATURATION)
    steps.putpalette(colours)
    return Image.composite(steps.convert("RGB"), muted, mask)


@cache
def _tables(opacity: float) -> tuple[bytes, list[int]]:
    """Of 256 even steps of anomaly from 0 to 1: the colours, and how much they cover, of 255."""
    steps = np.linspace(0, 1, 256, dtype=np.float32)
    cover = np.rint(255 * opacity * steps**2 * (3 - 2 * steps))
    return _heat(steps[None]).tobytes(), cover.astype(int).tolist()


def _draw_threshold(
    draw: ImageDraw.ImageDraw, threshold: float, across: tuple[int, int], down: tuple[int, int], unit: float
) -> None:
    x, (top, bottom), font = across[0] + threshold * (across[1] - across[0]), down, ImageFont.load_default(12 * unit)
    draw.line((x, top, x, bottom), PAPER, max(3, round(3 * unit)))
    draw.line((x, top, x, bottom), INK, max(1, round(unit)))
    draw.polygon([(x - 5 * unit, top - 8 * unit), (x + 5 * unit, top - 8 * unit), (x, top - 1)], INK)
    label = f"score threshold {threshold:.3g}"
    half = font.getlength(label) / 2
    middle = min(max(x, across[0] + half), across[1] - half)
    draw.text((middle, top - 10 * unit), label, INK, font, anchor="ms")


def shortened(text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, width: float) -> str:
    """The text, or as much of its beginning as has room, and dots."""
    if font.getlength(text) <= width:
        return text
    while text and font.getlength(text + "...") > width:
        text = text[:-1]
    return text + "..."

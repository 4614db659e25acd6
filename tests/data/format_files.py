"""Files of the rarer formats, as their own writers lay them out, and other readers of them."""

import json
import struct
import zlib
from collections.abc import Callable
from io import BytesIO
from typing import Any

import imagecodecs
import numpy as np
import pillow_heif
import tifffile
from PIL import ExifTags, Image, ImageOps

from tests.data.making import chunk, dicom, item, saved

ROWS, COLS = 48, 64
BRIGHT = np.add.outer(np.arange(ROWS), 3 * np.arange(COLS)).astype(np.uint8)
COLOURS = np.stack([BRIGHT, BRIGHT // 2, 255 - BRIGHT], axis=2)
NOISE = np.random.default_rng(4).integers(0, 256, (ROWS, COLS, 3), dtype=np.uint8)
GREY_16 = np.random.default_rng(5).integers(0, 65536, (ROWS, COLS), dtype=np.uint16)
COLOURS_16 = np.random.default_rng(6).integers(0, 65536, (ROWS, COLS, 3), dtype=np.uint16)
GREY_12 = GREY_16 >> 4
DEFECT = np.zeros((ROWS, COLS), bool)
DEFECT[10:20, 30:45] = True
TWELVE = {"BitsStored": 12, "HighBit": 11}
INVERTED = {"PhotometricInterpretation": "MONOCHROME1", "PresentationLUTShape": "INVERSE"}
SONOGRAPHY = {"SamplesPerPixel": 3, "PhotometricInterpretation": "YBR_FULL_422", "PlanarConfiguration": 0}


def rgb(grey: np.ndarray) -> np.ndarray:
    return np.stack([grey] * 3, axis=2)


def fraction(values: np.ndarray) -> np.ndarray:
    """Fractions as 16-bit grey."""
    return rgb(np.rint(values.clip(0, 1) * 65535).astype(np.uint16))


def always(pixels: np.ndarray) -> Callable[[bytes], np.ndarray]:
    return lambda _: pixels


def by_pillow(content: bytes) -> np.ndarray:
    return np.asarray(ImageOps.exif_transpose(Image.open(BytesIO(content))).convert("RGB"))


def by_tifffile(content: bytes) -> np.ndarray:
    page = tifffile.imread(BytesIO(content), key=0)
    return rgb(page) if page.ndim == 2 else page


def turned_jpeg() -> bytes:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    return saved(COLOURS, "JPEG", exif=exif, quality=95)


def jpeg_with_preview() -> bytes:
    small = Image.fromarray(COLOURS).resize((16, 12))
    return saved(Image.fromarray(COLOURS), "MPO", save_all=True, append_images=[small], quality=95)


def heic(samples: np.ndarray, mode: str, quality: int) -> bytes:
    stream = BytesIO()
    pillow_heif.from_bytes(mode, (COLS, ROWS), samples.tobytes()).save(stream, quality=quality)
    return stream.getvalue()


def palette_png() -> bytes:
    image = Image.fromarray(BRIGHT, "P")
    image.putpalette([value for entry in range(256) for value in (255 - entry, entry, 7)])
    return saved(image, "PNG")


def cmyk_jpeg() -> bytes:
    return saved(Image.new("CMYK", (COLS, ROWS), (0, 255, 255, 51)), "JPEG", quality=100)


def dng() -> bytes:
    """A thumbnail first, the sensor's mosaic below it, as every DNG has them."""
    stream = BytesIO()
    with tifffile.TiffWriter(stream) as file:
        version = [(50706, 1, 4, (1, 4, 0, 0), True)]
        file.write(NOISE[::4, ::4], photometric="rgb", subfiletype=1, subifds=1, extratags=version, metadata=None)
        file.write(GREY_16, photometric=32803, subfiletype=0, metadata=None)
    return stream.getvalue()


def slide() -> bytes:
    """Aperio's layout: the whole in JPEG tiles, a thumbnail, a level."""
    stream = BytesIO()
    options: dict[str, Any] = {"photometric": "rgb", "compression": "jpeg", "metadata": None}
    with tifffile.TiffWriter(stream) as file:
        file.write(COLOURS, tile=(16, 16), description="Aperio Image Library v12.0.15", **options)
        file.write(COLOURS[::4, ::4], **options)
        file.write(COLOURS[::2, ::2], tile=(16, 16), **options)
    return stream.getvalue()


def channels() -> bytes:
    stream = BytesIO()
    tifffile.imwrite(stream, np.stack([GREY_16, GREY_16 // 2, GREY_16 // 3]), ome=True, metadata={"axes": "CYX"})
    return stream.getvalue()


def stack() -> bytes:
    stream = BytesIO()
    tifffile.imwrite(stream, np.stack([GREY_16] * 4), imagej=True)
    return stream.getvalue()


def enhanced() -> bytes:
    """A rescale that all frames share, and a window of the one frame there is."""
    shared = item(PixelValueTransformationSequence=[item(RescaleSlope=2, RescaleIntercept=-1000)])
    frame = item(FrameVOILUTSequence=[item(WindowCenter=1000, WindowWidth=4000, VOILUTFunction="LINEAR_EXACT")])
    return dicom(
        GREY_12,
        NumberOfFrames=1,
        SharedFunctionalGroupsSequence=[shared],
        PerFrameFunctionalGroupsSequence=[frame],
        **TWELVE,
    )


def indexed_mask() -> bytes:
    image = Image.fromarray(DEFECT.astype(np.uint8) * 3, "P")
    image.putpalette([0, 0, 0, 128, 0, 0, 0, 128, 0, 128, 128, 0])
    return saved(image, "PNG")


def polygon() -> bytes:
    """labelme's: the corners of the defect."""
    corners = [[30, 10], [44, 10], [44, 19], [30, 19]]
    shape = {"label": "dent", "points": corners, "shape_type": "polygon"}
    return json.dumps({"shapes": [shape], "imageHeight": ROWS, "imageWidth": COLS, "imageData": None}).encode()


def deep_avif(samples: np.ndarray) -> bytes:
    return imagecodecs.avif_encode(rgb(samples), bitspersample=10, level=100)


def animated(kind: str) -> bytes:
    first, second = (Image.fromarray(pixels).quantize(64) for pixels in (COLOURS, NOISE))
    return saved(first, kind, save_all=True, append_images=[second])


def few_bits(bits: int) -> bytes:
    """Grey of few bits, as no library writes it."""
    levels = (BRIGHT >> (8 - bits)).astype(np.uint8)
    bit_rows = (levels[..., None] >> np.arange(bits - 1, -1, -1) & 1).reshape(ROWS, -1).astype(np.uint8)
    lines = b"".join(b"\0" + row.tobytes() for row in np.packbits(bit_rows, axis=1))
    header = struct.pack(">IIBBBBB", COLS, ROWS, bits, 0, 0, 0, 0)
    parts = [(b"IHDR", header), (b"IDAT", zlib.compress(lines)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*part) for part in parts)

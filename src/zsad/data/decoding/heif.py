"""AVIF and HEIC (images in the HEIF container) -> RGB pixels.

AVIF: 8 bits by Pillow, which rounds 10 and 12 bits down to them; those by imagecodecs (extra ``codecs``). HEIC and
other HEIF by pillow_heif (extra ``heic``).
"""

import numpy as np
from PIL import Image

from zsad.data.decoding import pillow
from zsad.data.decoding.guard import Stream, check_size, reading, require
from zsad.data.decoding.pixels import Pixels, full_range, to_rgb, upright
from zsad.types import DecodedImage

HEAD_LENGTH = 65536
CONFIGURATION = b"av1C"
HIGH_DEPTH, TWELVE_BITS = 0x40, 0x20  # of the third byte of the configuration (AV1 in ISOBMFF, 2.3.3)


def read_avif(stream: Stream, name: str) -> DecodedImage:
    """Decode an AVIF that is open for reading; its first frame."""
    with reading(name):
        bits = _bits(stream.read(HEAD_LENGTH))
        stream.seek(0)
    if bits == 8:
        return pillow.read(stream, name)
    require("imagecodecs", "codecs", f"an AVIF image of {bits} bits", name)
    with pillow.open_image(stream, name) as image:
        check_size(image.height, image.width, name)
        with reading(name):
            return DecodedImage(_deep(stream, bits, image), name, pillow.notes_of(image))


def _bits(head: bytes) -> int:
    """The highest bit depth of its images, including alpha."""
    depths = [8]
    for part in head.split(CONFIGURATION)[1:]:
        flags = part[2] if len(part) > 2 else 0
        depths.append(12 if flags & TWELVE_BITS else 10 if flags & HIGH_DEPTH else 8)
    return max(depths)


def _deep(stream: Stream, bits: int, image: Image.Image) -> Pixels:
    import imagecodecs

    stream.seek(0)
    try:
        samples = imagecodecs.avif_decode(stream.read(), index=0)
    except imagecodecs.AvifError as error:
        raise ValueError(str(error)) from error
    return upright(to_rgb(full_range(samples, 2**bits - 1)), pillow.orientation(image))


def read_heif(stream: Stream, name: str) -> DecodedImage:
    """Decode a HEIF file that is open for reading: its primary image.

    The transformations of the file are applied; its EXIF orientation, which only repeats them, is not (ISO/IEC
    23008-12).
    """
    require("pillow_heif", "heic", "a HEIC image", name)
    from pillow_heif import open_heif

    with reading(name):
        file = open_heif(stream, convert_hdr_to_8bit=False)
        image = file[file.primary_index]
        check_size(image.size[1], image.size[0], name)
        samples, bits = np.asarray(image), int(str(image.info.get("bit_depth", 8)))
        if bits > 8:  # samples are in the high bits of 16
            samples = full_range(samples >> (16 - bits), 2**bits - 1)
        pixels = to_rgb(samples, premultiplied=image.premultiplied_alpha)
    several = (f"image {file.primary_index + 1} of {len(file)} was read",)
    return DecodedImage(pixels, name, several if len(file) > 1 else ())

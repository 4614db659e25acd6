"""HEIC and other HEIF images -> RGB pixels. Needs the extra ``heic``."""

import numpy as np

from zsad.data._pixels import full_range, to_rgb
from zsad.data._reading import Stream, check_size, reading, require
from zsad.types import DecodedImage


def read(stream: Stream, name: str) -> DecodedImage:
    """Decode a HEIF file that is open for reading: its primary image.

    It is turned as the file's transformations say, never also by EXIF, which only repeats them (ISO/IEC 23008-12).
    """
    require("pillow_heif", "heic", "a HEIC image", name)
    from pillow_heif import open_heif

    with reading(name):
        file = open_heif(stream, convert_hdr_to_8bit=False)
        image = file[file.primary_index]
        check_size(image.size[1], image.size[0], name)
        samples, bits = np.asarray(image), int(str(image.info.get("bit_depth", 8)))
        if bits > 8:  # they come in the high bits of 16
            samples = full_range(samples >> (16 - bits), 2**bits - 1)
        pixels = to_rgb(samples, premultiplied=image.premultiplied_alpha)
    several = (f"image {file.primary_index + 1} of {len(file)} was read",)
    return DecodedImage(pixels, name, several if len(file) > 1 else ())

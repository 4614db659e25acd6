"""AVIF -> RGB pixels: 8 bits by Pillow, which rounds 10 and 12 bits down to them; those by imagecodecs."""

from PIL import Image

from zsad.data import _pillow
from zsad.data._pixels import Pixels, full_range, to_rgb, upright
from zsad.data._reading import Stream, check_size, reading, require
from zsad.types import DecodedImage

HEAD_LENGTH = 65536
CONFIGURATION = b"av1C"
HIGH_DEPTH, TWELVE_BITS = 0x40, 0x20  # of the third byte of the configuration (AV1 in ISOBMFF, 2.3.3)


def read(stream: Stream, name: str) -> DecodedImage:
    """Decode an AVIF that is open for reading; its first frame."""
    with reading(name):
        bits = _bits(stream.read(HEAD_LENGTH))
        stream.seek(0)
    if bits == 8:
        return _pillow.read(stream, name)
    require("imagecodecs", "codecs", f"an AVIF image of {bits} bits", name)
    with _pillow.open_image(stream, name) as image:
        check_size(image.height, image.width, name)
        with reading(name):
            return DecodedImage(_deep(stream, bits, image), name, _pillow.notes_of(image))


def _bits(head: bytes) -> int:
    """The most of any of its images, alpha among them."""
    depths = [8]
    for part in head.split(CONFIGURATION)[1:]:
        said = part[2] if len(part) > 2 else 0
        depths.append(12 if said & TWELVE_BITS else 10 if said & HIGH_DEPTH else 8)
    return max(depths)


def _deep(stream: Stream, bits: int, image: Image.Image) -> Pixels:
    import imagecodecs

    stream.seek(0)
    try:
        samples = imagecodecs.avif_decode(stream.read(), index=0)
    except imagecodecs.AvifError as error:
        raise ValueError(str(error)) from error
    return upright(to_rgb(full_range(samples, 2**bits - 1)), _pillow.orientation(image))

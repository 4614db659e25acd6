"""Images inside of pages and notebooks, as data of a URI."""

import base64
import io

from PIL import Image

REDUCING_GAP = 1.2
"""A thumbnail is first reduced by whole numbers, to a side of at least so many times its own."""


def data_uri(image: Image.Image, side: int, quality: int = 80) -> str:
    """An image for the ``src`` of an image: JPEG, its longer side at most ``side`` px."""
    scale = min(1.0, side / max(image.size))
    size = max(1, round(scale * image.width)), max(1, round(scale * image.height))
    small = image if scale == 1 else image.resize(size, Image.Resampling.BILINEAR, reducing_gap=REDUCING_GAP)
    buffer = io.BytesIO()
    small.save(buffer, "JPEG", quality=quality)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")

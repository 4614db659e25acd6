"""Masks as polygons, in the files of the drawing tool labelme (github.com/wkentaro/labelme)."""

import json
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageDraw

from zsad.errors import InputError

MALFORMED = (OSError, ValueError, KeyError, TypeError, AttributeError, OverflowError)


def drawn(path: Path) -> UInt8[np.ndarray, "rows cols"]:
    """The polygons of a file as labelme draws them, 255 within and on their outlines, whatever they are labelled.

    Raises:
        InputError: it cannot be read, has no size, or has shapes other than polygons.
    """
    try:
        content = json.loads(path.read_bytes())
        image = Image.new("L", (content["imageWidth"], content["imageHeight"]))
        for shape in content["shapes"]:
            if shape.get("shape_type", "polygon") != "polygon":
                raise ValueError(f"a {shape['shape_type']}")
            ImageDraw.Draw(image).polygon([(float(x), float(y)) for x, y in shape["points"]], fill=255, outline=255)
    except MALFORMED as error:
        rule = "a mask in JSON is of labelme, with imageHeight, imageWidth and shapes, which are polygons"
        raise InputError(rule, f"{path}: {error!r}", "save it anew with labelme, or draw it as a picture") from error
    return np.asarray(image)

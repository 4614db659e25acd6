"""Regions of anomaly maps that a client got before: another threshold without another score."""

import json
import math

import numpy as np
from jaxtyping import Float32
from PIL import Image

from zsad.data.decode import decode
from zsad.data.decoding.guard import at_most
from zsad.errors import ConfigError, InputError, unknown_name
from zsad.regions import Region, find_regions
from zsad.regions.finding import TOLERANCE
from zsad.reports.annotations import CATEGORY, coco_annotation
from zsad.service.answers import Answer
from zsad.service.asked import LARGEST_AREA, check_names, number, whole_number
from zsad.service.forms import Form, Upload
from zsad.service.jobs import MAPS_OF_A_REQUEST
from zsad.service.refusal import AT_LEAST_ONE, BAD_REQUEST, TOO_LARGE, Refusal
from zsad.types import Size

FORMATS = ("json", "coco")
FULL = 65535


def regions_of_maps(form: Form, max_pixels: int) -> Answer:
    """The regions of uploaded maps.

    Args:
        form: files ``maps`` (16-bit grey PNG, as predictions have them), named as their images; ``pixel_threshold``;
            ``sizes``, JSON [[rows, cols], ...] of the images, to which maps are enlarged; ``min_area``; ``format``.
        max_pixels: of an image; four times as many of all.

    Raises:
        ZsadError: a part is missing, or cannot be used.
    """
    check_names(form, ("pixel_threshold", "sizes", "min_area", "format"), ("maps",))
    uploads, threshold = form.files.get("maps", []), number(form.fields, "pixel_threshold", 0, 1)
    if not uploads:
        raise Refusal(BAD_REQUEST, AT_LEAST_ONE, "none", "send some as files named maps")
    if threshold is None:
        raise ConfigError("regions need a threshold for pixels", "none", "send pixel_threshold, in [0, 1]")
    if (kind := form.fields.get("format", "json")) not in FORMATS:
        raise unknown_name("format", kind[:80], FORMATS)
    min_area = whole_number(form.fields, "min_area", LARGEST_AREA) or 1
    sizes = _sizes(form.fields.get("sizes"), len(uploads), max_pixels)
    found = [
        (upload.name, *_regions(_map(upload, size, max_pixels), threshold, min_area, exact=kind == "coco"))
        for upload, size in zip(uploads, sizes, strict=True)
    ]
    if kind == "coco":
        return _coco(found, threshold, min_area)
    images = [
        {"source": name, "rows": size[0], "cols": size[1], "regions": [region.as_dict() for region in regions]}
        for name, size, regions in found
    ]
    return {"pixel_threshold": threshold, "min_area": min_area, "images": images}


def _regions(
    anomaly_map: Float32[np.ndarray, "rows cols"], threshold: float, min_area: int, *, exact: bool
) -> tuple[Size, list[Region]]:
    regions = find_regions(anomaly_map, threshold, min_area=min_area, tolerance=0 if exact else TOLERANCE)
    return (anomaly_map.shape[0], anomaly_map.shape[1]), regions


def _sizes(text: str | None, count: int, max_pixels: int) -> list[Size | None]:
    """The sizes that were sent; None for those of the maps themselves."""
    if text is None:
        return [None] * count
    rule = f"sizes are JSON [[rows, cols], ...], one for each of the {count} maps"
    try:
        listed = json.loads(text)
    except (ValueError, RecursionError):
        listed = None
    is_list = isinstance(listed, list) and len(listed) == count
    if not (is_list and all(isinstance(size, list) and [*map(type, size)] == [int, int] for size in listed)):
        raise ConfigError(rule, repr(text[:80]), "send whole numbers")
    for size in listed:
        if min(size) < 1 or math.prod(size) > max_pixels:
            raise ConfigError(f"an image has 1 to {max_pixels:,} pixels", f"{size[0]} x {size[1]}", "scale it down")
    if (total := sum(map(math.prod, listed))) > MAPS_OF_A_REQUEST * max_pixels:
        rule = f"the images of a request have at most {MAPS_OF_A_REQUEST * max_pixels:,} pixels"
        raise Refusal(TOO_LARGE, rule, f"{total:,}", "send fewer at a time")
    return [(rows, cols) for rows, cols in listed]


def _map(upload: Upload, size: Size | None, max_pixels: int) -> Float32[np.ndarray, "rows cols"]:
    with at_most(max_pixels):
        pixels = decode(upload.content, upload.name).pixels
    if pixels.dtype != np.uint16 or (pixels != pixels[..., :1]).any():
        raise InputError("a map is a 16-bit grey PNG", upload.name, "send the map of a prediction as it was")
    anomaly_map = pixels[..., 0].astype(np.float32) / np.float32(FULL)
    if size is None or size == anomaly_map.shape:
        return anomaly_map
    return np.asarray(Image.fromarray(anomaly_map).resize(size[::-1], Image.Resampling.BILINEAR), np.float32)


def _coco(found: list[tuple[str, Size, list[Region]]], threshold: float, min_area: int) -> Answer:
    images, annotations = [], list[dict[str, object]]()
    for place, (name, size, regions) in enumerate(found, 1):
        images.append({"id": place, "file_name": name, "height": size[0], "width": size[1]})
        for region in regions:
            annotations.append(coco_annotation(region, len(annotations) + 1, place, size, TOLERANCE))
    about = {"description": "Regions found by zsad", "pixel_threshold": threshold, "min_area": min_area}
    return {"info": about, "categories": [CATEGORY], "images": images, "annotations": annotations}

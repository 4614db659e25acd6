"""What a report writes of one image, made without touching the disk, so that several can be made at a time."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32
from PIL import Image

from zsad.drawing.embedding import data_uri
from zsad.drawing.outlines import outlined
from zsad.drawing.render import Overlay, check_map, drawn_over, eight_bit, encoded_image, encoded_map, overlay_suffix
from zsad.regions import Region
from zsad.types import DecodedImage, Prediction, Size
from zsad.types.large import LargePrediction

THUMBNAIL = 360
"""Longer side of an image on the page, in px: about 40 kB an image with its overlay.

A thousand images make a page of about 40 MB."""

FindRegions = Callable[[Float32[np.ndarray, "rows cols"], int], list[Region]]
"""From a map, and the side of its pixels in px of the image, to regions."""


@dataclass(frozen=True)
class RenderedImage:
    """The files of an image and its pictures on the page.

    Attributes:
        source, class_name, score, threshold, is_anomalous, p_value, pixel_threshold, size: of the prediction.
        notes: of the image.
        regions: None where none are written.
        map, overlay: contents of files; for the map of a large image, the prediction that has it in a file.
        suffix: of the overlay's file.
        photo_uri, overlay_uri: for the page.
    """

    source: str
    class_name: str
    score: float
    threshold: float | None
    is_anomalous: bool | None
    p_value: float | None
    pixel_threshold: float | None
    size: Size
    notes: tuple[str, ...]
    regions: list[Region] | None
    map: bytes | LargePrediction
    overlay: bytes
    suffix: str
    photo_uri: str
    overlay_uri: str


def render_image(
    image: DecodedImage, prediction: Prediction, overlay: Overlay, find: FindRegions | None
) -> RenderedImage:
    """Find the regions of an image, and encode its map, its overlay and its thumbnails.

    Args:
        image: as it was scored.
        prediction: of the image, with a map of its size.
        overlay: what is drawn over it.
        find: the regions of a map; None where none are written.

    Raises:
        InputError: as :func:`zsad.drawing.render.overlay`.
    """
    large = prediction if isinstance(prediction, LargePrediction) else None
    regions = None if find is None else find(prediction.anomaly_map, large.factor if large else 1)
    drawn = _drawn(image, prediction, regions or [], overlay)
    if large and regions:
        regions = [large.enlarged(region) for region in regions]
    suffix = overlay_suffix(drawn)
    return RenderedImage(
        source=prediction.source,
        class_name=prediction.class_name,
        score=prediction.score,
        threshold=prediction.threshold,
        is_anomalous=prediction.is_anomalous,
        p_value=prediction.p_value,
        pixel_threshold=prediction.pixel_threshold,
        size=prediction.size,
        notes=image.notes,
        regions=regions,
        map=large or encoded_map(prediction.anomaly_map),
        overlay=encoded_image(drawn, suffix),
        suffix=suffix,
        photo_uri=data_uri(Image.fromarray(eight_bit(image.pixels)), THUMBNAIL),
        overlay_uri=data_uri(drawn, THUMBNAIL),
    )


def _drawn(image: DecodedImage, prediction: Prediction, regions: Sequence[Region], overlay: Overlay) -> Image.Image:
    if overlay == "heat":
        return drawn_over(image, prediction.anomaly_map)
    check_map(image, prediction.anomaly_map)
    return outlined(image, regions)

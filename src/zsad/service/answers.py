"""Predictions as JSON."""

import base64
from dataclasses import replace

import numpy as np
from jaxtyping import Float32
from PIL import Image

from zsad.drawing.render import encoded_map
from zsad.service.asked import Output
from zsad.types import DecodedImage, Prediction, Size

Answer = dict[str, object]


def answer(image: DecodedImage, prediction: Prediction, output: Output) -> Answer:
    """The result for one image.

    Args:
        image: as it was scored.
        prediction: of the image, with a map of its size.
        output: what is asked for beside the score.
    """
    decided = _with_thresholds(prediction, output)
    found: Answer = {
        "source": decided.source,
        "score": decided.score,
        "threshold": decided.threshold,
        "is_anomalous": decided.is_anomalous,
        "p_value": decided.p_value,
        "pixel_threshold": decided.pixel_threshold,
        "rows": decided.size[0],
        "cols": decided.size[1],
        "notes": list(image.notes),
    }
    if output.regions:
        found["regions"] = [region.as_dict() for region in decided.regions(min_area=output.min_area)]
    if output.maps == "png":
        anomaly_map = reduced(decided.anomaly_map, output.map_side)
        found["map"] = base64.b64encode(encoded_map(anomaly_map)).decode("ascii")
    return found


def _with_thresholds(prediction: Prediction, output: Output) -> Prediction:
    threshold, pixel_threshold = output.threshold, output.pixel_threshold
    return replace(
        prediction,
        threshold=prediction.threshold if threshold is None else threshold,
        pixel_threshold=prediction.pixel_threshold if pixel_threshold is None else pixel_threshold,
    )


def reduced_size(size: Size, side: int | None) -> Size:
    """The (rows, cols) of a map whose longer side is at most that many px.

    >>> reduced_size((300, 200), 150), reduced_size((300, 200), None), reduced_size((3000, 1), 150)
    ((150, 100), (300, 200), (150, 1))
    """
    longest = max(size)
    if side is None or longest <= side:
        return size
    rows, cols = (max(1, round(length * side / longest)) for length in size)
    return rows, cols


def reduced(anomaly_map: Float32[np.ndarray, "rows cols"], side: int | None) -> Float32[np.ndarray, "_ _"]:
    """The map, or the means over areas of it, in [0, 1]."""
    rows, cols = reduced_size((anomaly_map.shape[0], anomaly_map.shape[1]), side)
    if (rows, cols) == anomaly_map.shape:
        return anomaly_map
    resized = Image.fromarray(anomaly_map).resize((cols, rows), Image.Resampling.BOX)
    return np.asarray(resized, np.float32).clip(0, 1)

"""The worst images of a class, kept while it is scored and drawn at its end."""

from bisect import insort
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, Float32, UInt8
from PIL import Image

from zsad.data.masks.ground_truth import resize_mask
from zsad.drawing.render import eight_bit, overlay, save_image
from zsad.parts.maps import resize
from zsad.results.schema import ImageResult, WorstImage
from zsad.results.store import WORST, write_worst_images
from zsad.types import DecodedImage, Prediction, Size

EACH = 4
"""Images kept of each kind of miss."""
SIDE = 518
"""Longer side of what is drawn, in px, at most."""
MISSED, FALSE_ALARM, MISPLACED = "missed", "false alarm", "misplaced"


@dataclass(frozen=True, order=True)
class WorstCandidate:
    """An image that is among the worst so far, no larger than it will be drawn; the worst sort first."""

    goodness: float
    number: int
    result: ImageResult = field(compare=False)
    pixels: UInt8[np.ndarray, "rows cols 3"] = field(compare=False)
    mask: Bool[np.ndarray, "rows cols"] | None = field(compare=False)
    anomaly_map: Float32[np.ndarray, "rows cols"] = field(compare=False)


class WorstImages:
    """Keeps the worst few of the images that it is offered.

    >>> WorstImages().kept
    {'missed': [], 'false alarm': [], 'misplaced': []}
    """

    def __init__(self) -> None:
        self.kept: dict[str, list[WorstCandidate]] = {MISSED: [], FALSE_ALARM: [], MISPLACED: []}
        self._number = 0

    def offer(
        self,
        result: ImageResult,
        image: DecodedImage,
        prediction: Prediction,
        mask: Bool[np.ndarray, "rows cols"] | None,
    ) -> None:
        """Keep an image if it is worse than one that is kept; of equals the first stays."""
        self._number += 1
        if result.label == 0:
            kinds = {FALSE_ALARM: -result.score}
        else:
            kinds = {MISSED: result.score}
            if result.pixel_auroc is not None:
                kinds[MISPLACED] = result.pixel_auroc
        for why, goodness in kinds.items():
            best_kept = self.kept[why][-1].goodness if len(self.kept[why]) == EACH else np.inf
            if goodness < best_kept:
                insort(self.kept[why], self._candidate(goodness, result, image, prediction, mask))
                del self.kept[why][EACH:]

    def write(self, folder: Path) -> None:
        """Draw what is kept into the folder of the class, and list it."""
        home = folder / WORST
        home.mkdir(parents=True, exist_ok=True)
        write_worst_images(
            [
                _draw(candidate, why, f"{why.replace(' ', '-')}-{number}", home)
                for why, candidates in self.kept.items()
                for number, candidate in enumerate(candidates, 1)
            ],
            folder,
        )

    def _candidate(
        self,
        goodness: float,
        result: ImageResult,
        image: DecodedImage,
        prediction: Prediction,
        mask: Bool[np.ndarray, "rows cols"] | None,
    ) -> WorstCandidate:
        size = _shown(image.size)
        small = Image.fromarray(eight_bit(image.pixels)).resize(size[::-1], Image.Resampling.LANCZOS)
        anomaly_map = resize(torch.from_numpy(prediction.anomaly_map)[None], size)[0].numpy()
        shown_mask = None if mask is None else resize_mask(mask, size)
        return WorstCandidate(goodness, self._number, result, np.asarray(small), shown_mask, anomaly_map)


def _draw(candidate: WorstCandidate, why: str, name: str, home: Path) -> WorstImage:
    result = candidate.result
    files = {"image": f"{name}.jpg", "overlay": f"{name}-overlay.jpg"}
    save_image(Image.fromarray(candidate.pixels), home / files["image"])
    heat = overlay(DecodedImage(candidate.pixels, result.source), candidate.anomaly_map)
    save_image(Image.fromarray(heat), home / files["overlay"])
    mask = None
    if candidate.mask is not None:
        mask = f"{name}-mask.png"
        save_image(Image.fromarray(candidate.mask), home / mask)
    return WorstImage(why, result.source, result.score, result.pixel_auroc, mask=mask, **files)


def _shown(size: Size) -> Size:
    """The size at which an image is drawn: its own, or smaller."""
    scale = min(1.0, SIDE / max(size))
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))

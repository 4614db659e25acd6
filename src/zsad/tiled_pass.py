"""Images scored by overlapping tiles.

rows of the image -> tiles of them -> batches -> tower and method, each tile as an image
                  -> maps of the tiles, weighted and summed -> rows of the map, as soon as no tile adds to them
score: the highest of all tiles; with a coarse pass, its weighted mean with the score of the whole image
"""

import math
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from tempfile import TemporaryFile
from typing import Any, Protocol

import numpy as np
import torch
from jaxtyping import Float32

from zsad.calibration import Decision
from zsad.data import kinds
from zsad.data.decoding.pixels import Pixels
from zsad.data.decoding.ranges import Range
from zsad.data.decoding.tiff_windows import TiffWindows, size_of_tiff
from zsad.drawing.png import write_grey_16
from zsad.errors import DependencyError, InputError
from zsad.folder_pass import chunks
from zsad.parts.maps import resize
from zsad.passes import forward_passes
from zsad.pipeline import Answer, Stages
from zsad.scoring import image_scores
from zsad.tiling import Tiling, starts, weights
from zsad.types import DecodedImage, Failure, Prediction, Size
from zsad.types.large import LargePrediction

LARGE = 2**26
"""Pixels of a TIFF from which it is read by rows, and its map written by rows."""
REDUCED_SIDE = 2048
"""Longer side in px of what is kept of a large image, for overlays, regions and a coarse pass, at most."""
PIECE = 64
"""Rows of a map that are finished at a time."""

Rows = Float32[np.ndarray, "rows cols"]


class Windows(Protocol):
    """An image that is read by rows."""

    size: Size

    def rows(self, top: int, bottom: int) -> Pixels:
        """The pixels of some rows."""


@dataclass
class ArrayWindows:
    """An image in memory."""

    image: DecodedImage

    @property
    def size(self) -> Size:
        """(rows, cols)"""
        return self.image.size

    def rows(self, top: int, bottom: int) -> Pixels:
        """A view on some rows."""
        return self.image.pixels[top:bottom]


@dataclass
class TiledScores:
    """The map of an image by rows, and its score after the last of them.

    Attributes:
        stages: of the detector.
        class_name: what the image shows.
        tiling: how it is cut.
        windows: the image.
        whole: the whole image, for a coarse pass; it may be smaller.
        scores: of the tiles so far.
    """

    stages: Stages
    class_name: str
    tiling: Tiling
    windows: Any
    whole: DecodedImage
    scores: list[float] = field(default_factory=list)
    _coarse: Float32[np.ndarray, "coarse_rows coarse_cols"] | None = None
    _coarse_score: float = 0.0

    @property
    def score(self) -> float:
        """The highest of all tiles, joined with that of the whole image."""
        weight = self.tiling.coarse
        return (1 - weight) * max(self.scores) + weight * self._coarse_score

    def bands(self) -> Iterator[Rows]:
        """The map from top to bottom, some rows at a time."""
        (rows, cols), (size, overlap, weight) = self.windows.size, self.tiling
        height, width = min(size, rows), min(size, cols)
        tops, lefts = starts(rows, size, overlap), starts(cols, size, overlap)
        down, across = weights(tops, height, rows), weights(lefts, width, cols)
        if weight:
            self._look_at_whole()

        def tiles() -> Iterator[tuple[int, int, DecodedImage]]:
            for number, top in enumerate(tops):
                band = self.windows.rows(top, top + height)
                for place, left in enumerate(lefts):
                    pixels = np.ascontiguousarray(band[:, left : left + width])
                    yield number, place, DecodedImage(pixels, f"tile {number}, {place} of {self.whole.source}")
                del band  # before the next is there

        total, current = np.zeros((height, cols), np.float32), 0
        batches = chunks(tiles(), self.stages.runtime.images_at_once)
        for results in forward_passes(self._score, batches, self.stages.runtime.device_type):
            for number, place, anomaly_map, score in results:
                if number != current:
                    done = tops[number] - tops[current]
                    yield from self._finished(total[:done], tops[current])
                    kept = height - done  # at most half of the height, so that the two do not meet
                    total[:kept] = total[done:]
                    total[kept:] = 0
                    current = number
                left = lefts[place]
                total[:, left : left + width] += anomaly_map * down[number][:, None] * across[place]
                self.scores.append(score)
        yield from self._finished(total, tops[current])

    @torch.inference_mode()
    def _score(self, batch: list[tuple[int, int, DecodedImage]]) -> list[tuple[int, int, Rows, float]]:
        images = [image for _, _, image in batch]
        evidence = self.stages.evidence(self.stages.pixels(images), self.class_name)
        maps = self.stages.maps(evidence, [image.size for image in images])
        scores = image_scores(evidence, self.stages.method.config).tolist()
        return [
            (number, place, anomaly_map.cpu().numpy(), score)
            for (number, place, _), anomaly_map, score in zip(batch, maps, scores, strict=True)
        ]

    def _look_at_whole(self) -> None:
        pixels = self.whole.pixels
        [(_, _, anomaly_map, score)] = self._score([(0, 0, DecodedImage(pixels, self.whole.source))])
        size = min(REDUCED_SIDE, anomaly_map.shape[0]), min(REDUCED_SIDE, anomaly_map.shape[1])
        self._coarse, self._coarse_score = resize(torch.from_numpy(anomaly_map)[None], size)[0].numpy(), score

    def _finished(self, rows: Rows, top: int) -> Iterator[Rows]:
        """Sums of tiles as rows of the map, in pieces that are its own."""
        weight = np.float32(self.tiling.coarse)
        for start in range(0, len(rows), PIECE):
            piece = rows[start : start + PIECE].copy()
            if self._coarse is not None:
                piece *= 1 - weight
                piece += weight * enlarged_rows(self._coarse, self.windows.size, top + start, len(piece))
            yield np.clip(piece, 0, 1, out=piece)


def enlarged_rows(small: Float32[np.ndarray, "small_rows small_cols"], size: Size, top: int, count: int) -> Rows:
    """Some rows of a map that is enlarged to a size, linearly."""

    def at(pixels: np.ndarray, length: int, cells: int) -> tuple[np.ndarray, np.ndarray]:
        place = np.clip((pixels + 0.5) * cells / length - 0.5, 0, cells - 1)
        low = np.minimum(place.astype(int), max(cells - 2, 0))
        return low, (place - low).astype(np.float32)

    low, part = at(np.arange(top, top + count), size[0], small.shape[0])
    high = np.minimum(low + 1, small.shape[0] - 1)
    rows = small[low] * (1 - part)[:, None] + small[high] * part[:, None]
    low, part = at(np.arange(size[1]), size[1], small.shape[1])
    high = np.minimum(low + 1, small.shape[1] - 1)
    return np.asarray(rows[:, low] * (1 - part) + rows[:, high] * part, np.float32)


def reduced(windows: TiffWindows, factor: int) -> Pixels:
    """An image with the mean of each block of ``factor`` × ``factor`` px, of which the last may be smaller."""
    rows, cols = windows.size
    step = max(factor, windows.step // factor * factor)
    columns, parts = np.arange(0, cols, factor), []
    for top in range(0, rows, step):
        band = windows.rows(top, min(top + step, rows))
        for start in range(0, len(band), factor):
            block = band[start : start + factor]
            sums = np.add.reduceat(block.sum(axis=0, dtype=np.uint32), columns, axis=0)
            counts = len(block) * np.diff([*columns, cols])
            parts.append(np.rint(sums / counts[:, None]).astype(band.dtype))
    return np.stack(parts)


@dataclass(frozen=True)
class TiledPipeline:
    """Predictions for images of one class by tiles; what :class:`zsad.pipeline.Pipeline` is for whole images.

    Attributes:
        stages, class_name, decided, size, raises: as there.
        tiling: how images are cut.
        value_range: of images that are read by rows.
    """

    stages: Stages
    class_name: str
    decided: Decision
    tiling: Tiling
    size: Size | None = None
    raises: bool = False
    value_range: Range | None = None

    def run(self, sources: Iterable[Any], read: Callable[[Any], DecodedImage | Failure]) -> Iterator[Answer]:
        """Answers in the order of the sources, one image at a time; a source without a score gives a failure."""
        for source in sources:
            if self.size is None and is_large(source):
                try:
                    with TiffWindows(source, self.value_range) as windows:
                        yield self._large(windows)
                except (InputError, DependencyError) as error:
                    yield Failure(os.fspath(source), str(error))
                continue
            image = read(source)
            yield image if isinstance(image, Failure) else self._whole(image)

    def _whole(self, image: DecodedImage) -> Answer:
        tiled = TiledScores(self.stages, self.class_name, self.tiling, ArrayWindows(image), image)
        anomaly_map = np.concatenate([*tiled.bands()])
        if self.size is not None and self.size != image.size:
            anomaly_map = resize(torch.from_numpy(anomaly_map)[None], self.size)[0].clamp(0, 1).numpy()
        try:
            return image, Prediction(**self._answer(image.source, tiled.score), anomaly_map=anomaly_map, image=image)
        except InputError as error:
            if self.raises:
                raise
            return Failure(image.source, str(error))

    def _large(self, windows: TiffWindows) -> tuple[DecodedImage, Prediction]:
        (rows, cols), name = windows.size, windows.name
        factor = max(1, -(-max(rows, cols) // REDUCED_SIDE))
        small = DecodedImage(
            reduced(windows, factor),
            name,
            (f"read by rows; overlay and regions are of the map reduced {factor} times, by its highest scores",),
        )
        tiled = TiledScores(self.stages, self.class_name, self.tiling, windows, small)
        peaks = np.zeros(small.size, np.float32)
        map_file = TemporaryFile()  # noqa: SIM115  # goes with the prediction
        write_grey_16(map_file, (rows, cols), _with_peaks(tiled.bands(), peaks, factor))
        return small, LargePrediction(
            **self._answer(name, tiled.score),
            anomaly_map=peaks,
            image=small,
            full_size=(rows, cols),
            factor=factor,
            map_file=map_file,
        )

    def _answer(self, source: str, score: float) -> dict[str, Any]:
        return {
            "source": source,
            "class_name": self.class_name,
            "score": score,
            "threshold": self.decided.threshold,
            "p_value": self.decided.p_value(score) if math.isfinite(score) else None,
            "pixel_threshold": self.decided.pixel_threshold,
        }


def _with_peaks(bands: Iterable[Rows], peaks: Rows, factor: int) -> Iterator[Rows]:
    """The same rows; ``peaks`` gets the highest score of each block."""
    top = 0
    for band in bands:
        columns = np.maximum.reduceat(band, np.arange(0, band.shape[1], factor), axis=1)
        np.maximum.at(peaks, np.arange(top, top + len(band)) // factor, columns)
        top += len(band)
        yield band


def is_large(source: object) -> bool:
    """Whether a source is the file of a TIFF that is read by rows."""
    if not isinstance(source, str | os.PathLike) or not os.path.isfile(source):
        return False
    with open(source, "rb") as file:
        if kinds.kind_of(file.read(kinds.HEAD_LENGTH), os.fspath(source)) is not kinds.TIFF:
            return False
    try:
        rows, cols = size_of_tiff(source)
    except InputError:  # which decoding says in full
        return False
    return rows * cols > LARGE


def tiles_of(image: DecodedImage, tiling: Tiling) -> Iterator[DecodedImage]:
    """The tiles of an image, by rows."""
    rows, cols = image.size
    for top in starts(rows, tiling.size, tiling.overlap):
        for left in starts(cols, tiling.size, tiling.overlap):
            pixels = image.pixels[top : top + tiling.size, left : left + tiling.size]
            yield DecodedImage(np.ascontiguousarray(pixels), image.source)

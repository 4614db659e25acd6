"""From images to predictions, several at a time.

on a CPU    a few threads, each of which takes a batch through all stages
on a GPU    threads decode and resize; passes follow one another, each begun before the maps of the last are fetched

decode -> resize, normalise -> tower and method -> levels fused, enlarged, smoothed -> at the size of the image
"""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

import torch
from jaxtyping import Float, Float32
from torch import Tensor

from zsad.calibration import Decision
from zsad.data.preprocess import to_batch
from zsad.errors import InputError
from zsad.folder_pass import ScoredFolder, chunks
from zsad.methods._base import Method
from zsad.passes import forward_passes
from zsad.runtime import RuntimeConfig, without_tf32
from zsad.scoring import image_scores, maps_of_images
from zsad.threads import helpers, in_order, readers
from zsad.types import DecodedImage, Evidence, Failure, ImageBatch, Prediction, Size

T = TypeVar("T")
Answer = tuple[DecodedImage, Prediction] | Failure
Read = Callable[[T], DecodedImage | Failure]


@dataclass(frozen=True)
class Stages:
    """What happens to images, and where.

    Attributes:
        method: on its device, in its precision.
        image_size: side in px at which it runs.
        runtime: device, precision, batch size.
    """

    method: Method
    image_size: int
    runtime: RuntimeConfig

    @property
    def size(self) -> Size:
        """(rows, cols) of the images that the method takes."""
        return self.image_size, self.image_size

    def prepare(self, images: Sequence[DecodedImage]) -> ImageBatch:
        """Images resized and normalised, on the CPU."""
        config = self.method.clip.config
        return to_batch(images, self.size, config.mean, config.std)

    def moved(self, batch: Float32[Tensor, "batch 3 rows cols"]) -> Float[Tensor, "batch 3 rows cols"]:
        """A prepared batch on the device and in the precision of the method."""
        if self.runtime.device_type == "cuda":
            batch = batch.pin_memory()
        return batch.to(self.runtime.device, self.runtime.dtype, non_blocking=True)

    def pixels(self, images: Sequence[DecodedImage]) -> Float[Tensor, "batch 3 rows cols"]:
        """The batch as the method takes it, on its device and in its precision."""
        return self.moved(self.prepare(images).pixels)

    def exact(self) -> AbstractContextManager[None]:
        """fp32 is fp32 within; not entered on a CPU, where several threads would switch one setting of a GPU."""
        return nullcontext() if self.runtime.device_type == "cpu" else without_tf32()

    def evidence(self, pixels: Float[Tensor, "batch 3 rows cols"], class_name: str) -> Evidence:
        """Of the method; a batch that does not fit into the memory of a GPU is split."""
        try:
            with self.exact():
                evidence: Evidence = self.method(pixels, [class_name] * len(pixels))
            return evidence
        except torch.OutOfMemoryError:
            if len(pixels) == 1:
                raise
        return together([self.evidence(half, class_name) for half in pixels.split(-(-len(pixels) // 2))])

    def maps(self, evidence: Evidence, sizes: Sequence[Size]) -> list[Float32[Tensor, "_ _"]]:
        """A map for each image at the size asked for, on the device of the evidence."""
        with self.exact():
            return maps_of_images(evidence, self.image_size, self.method.config, sizes)


def together(parts: Sequence[Evidence]) -> Evidence:
    """The evidence of several batches as that of one."""
    logits = [part.logits for part in parts if part.logits is not None]
    maps, score = torch.cat([part.maps for part in parts]), torch.cat([part.score for part in parts])
    return Evidence(maps, score, logits=torch.cat(logits) if logits else None)


@dataclass(frozen=True)
class _Prepared:
    """A batch that was read: decoded images or why there is none, by index, and their pixels for the method."""

    items: dict[int, DecodedImage | Failure]
    pixels: Float32[Tensor, "batch 3 rows cols"] | None

    @property
    def images(self) -> list[DecodedImage]:
        return [item for item in self.items.values() if isinstance(item, DecodedImage)]


@dataclass(frozen=True)
class _Launched:
    """A batch whose scores and maps may still be in the making on the device."""

    items: dict[int, DecodedImage | Failure]
    scores: Float[Tensor, "batch"]
    maps: list[Float32[Tensor, "_ _"]]


@dataclass(frozen=True)
class Pipeline:
    """Predictions for images of one class.

    Attributes:
        stages: of the detector.
        class_name: what the images show.
        decided: how they are decided.
        size: (rows, cols) of all maps; None for that of each image.
        folder: their scores, of a method that scored them by one another.
        raises: whether a score that is not finite is an error; else that image has no score, and the others go on.
    """

    stages: Stages
    class_name: str
    decided: Decision
    size: Size | None = None
    folder: ScoredFolder | None = None
    raises: bool = False

    def run(self, sources: Iterable[T], read: Read[T]) -> Iterator[Answer]:
        """Answers in the order of the sources; a source without a score gives a failure.

        Args:
            sources: indices of a folder count from 0 in this order.
            read: called in threads, ahead of its use.
        """
        for (answer,) in run_together([self], sources, read):
            yield answer

    def _prepare(self, read: Read[T], batch: Sequence[tuple[int, T]]) -> _Prepared:
        items = {index: read(source) for index, source in batch}
        if self.folder is not None:
            return _Prepared({index: self.folder.checked(index, item) for index, item in items.items()}, None)
        images = [item for item in items.values() if isinstance(item, DecodedImage)]
        return _Prepared(items, self.stages.prepare(images).pixels if images else None)

    @torch.inference_mode()
    def _launch(self, batch: _Prepared, pixels: Float[Tensor, "batch 3 rows cols"] | None) -> _Launched:
        images = batch.images
        if not images:
            return _Launched(batch.items, torch.empty(0), [])
        if self.folder is None:
            assert pixels is not None
            evidence = self.stages.evidence(pixels, self.class_name)
        else:
            scored = [index for index, item in batch.items.items() if isinstance(item, DecodedImage)]
            evidence = self.folder.evidence(scored)
        maps = self.stages.maps(evidence, [self.size or image.size for image in images])
        return _Launched(batch.items, image_scores(evidence, self.stages.method.config), maps)

    @torch.inference_mode()
    def _collect(self, batch: _Launched) -> list[Answer]:
        results = zip(batch.scores.tolist(), batch.maps, strict=True)
        return [
            item if isinstance(item, Failure) else self._answer(item, *next(results)) for item in batch.items.values()
        ]

    def _answer(self, image: DecodedImage, score: float, anomaly_map: Float32[Tensor, "rows cols"]) -> Answer:
        """The prediction for an image, or the failure where its score is not finite."""
        try:
            return image, Prediction(
                image.source,
                self.class_name,
                score,
                self.decided.threshold,
                anomaly_map.cpu().numpy(),
                self.decided.p_value(score) if math.isfinite(score) else None,
                self.decided.pixel_threshold,
                image,
            )
        except InputError as error:
            if self.raises:
                raise
            return Failure(image.source, str(error))


def run_together(pipelines: Sequence[Pipeline], sources: Iterable[T], read: Read[T]) -> Iterator[tuple[Answer, ...]]:
    """For each source the answers of several pipelines, which share what is read and, on one tower, the pass over it.

    Args:
        pipelines: with equal stages but for their methods, whose images are normalised alike; one with a folder is
            alone.
        sources: as of :meth:`Pipeline.run`.
        read: called in threads, ahead of its use.
    """
    first = pipelines[0]
    runtime, vision = first.stages.runtime, first.stages.method.clip.vision
    batches = chunks(enumerate(sources), runtime.images_at_once)

    def launch(batch: _Prepared) -> list[_Launched]:
        pixels = None if batch.pixels is None else first.stages.moved(batch.pixels)
        with vision.sharing() if len(pipelines) > 1 else nullcontext():
            return [pipeline._launch(batch, pixels) for pipeline in pipelines]

    def collect(launched: list[_Launched]) -> list[tuple[Answer, ...]]:
        answers = (pipeline._collect(batch) for pipeline, batch in zip(pipelines, launched, strict=True))
        return list(zip(*answers, strict=True))

    prepare = partial(first._prepare, read)
    if runtime.device_type == "cpu":
        for whole in forward_passes(lambda batch: collect(launch(prepare(batch))), batches, "cpu"):
            yield from whole
        return
    with readers(helpers()) as pool:
        waiting = list[_Launched]()
        for prepared in in_order(pool, prepare, batches, max(2, -(-helpers() // runtime.images_at_once))):
            launched = launch(prepared)
            yield from collect(waiting) if waiting else ()
            waiting = launched
        yield from collect(waiting) if waiting else ()

"""From a batch of images to the terms of a loss; what a frozen tower sees of an image is seen once."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from zsad.backbones.prompt_cache import cache_dir
from zsad.data.specification import in_words
from zsad.methods import FrozenBackboneMethod, Method, Trainable
from zsad.registry import class_path, source_hash
from zsad.runtime import RuntimeConfig
from zsad.trainer.augment import augment
from zsad.trainer.feature_cache import CHUNK, FeatureCache
from zsad.trainer.images import TrainingBatch, TrainingImages
from zsad.types import BackboneFeatures, Evidence, Target

Describe = Callable[[int], tuple[str, ...]]


@dataclass
class Forward:
    """The way of a batch through a method in training.

    Args:
        method: on its device.
        images: at the size of the method.
        seed: of the augmentation.
        augmented: whether images are changed at random; then nothing can be observed once and for all.
        runtime: device, precision, micro batch and cache.
        describe: sentences about an image, for methods that ask for them.
    """

    method: Trainable
    images: TrainingImages
    seed: int
    augmented: bool
    runtime: RuntimeConfig
    describe: Describe | None = None

    def __post_init__(self) -> None:
        self._observations: FeatureCache | None = None

    @property
    def observes_once(self) -> bool:
        """Whether what the tower sees of an image is kept."""
        return isinstance(self.method, FrozenBackboneMethod) and not self.augmented and self.runtime.cache_gb > 0

    @property
    def needs_pixels(self) -> bool:
        """Whether batches bring their pixels."""
        return self._observations is None

    def observe(self, hashes: Sequence[str]) -> Iterator[int]:
        """Look at all images once where that is possible; yields how many have been seen.

        Args:
            hashes: content hash of each image; without them nothing can be kept.
        """
        if not hashes or not self.observes_once:
            return
        root, micro = Path(self.runtime.cache or cache_dir()) / "observations", self.runtime.micro_batch
        key = {
            "method": _identity(type(self.method)),
            "config": repr(self.method.config),
            "backbone": self.method.fingerprint,
            "size": self.images.size,
            "precision": self.runtime.precision,
            "device": self.runtime.device_type,
            "images": list(hashes),
        }
        chunk = min(CHUNK, micro or CHUNK)
        observations = FeatureCache(root, key, len(self.images), self._observe, self.runtime.cache_bytes, chunk)
        yield from observations.fill()
        self.images.forget_pixels()
        self._observations = observations

    def terms(self, batch: TrainingBatch, epoch: int) -> dict[str, Float[Tensor, ""]]:
        """The terms of the method's loss for a batch of an epoch."""
        device, masks = self.runtime.device, batch.masks
        if self.augmented:
            batch = self._augment(batch, epoch)
            masks = batch.masks
        described = tuple(self.describe(index) for index in batch.indices) if self.describe else ()
        target = Target(batch.labels.to(device), masks.to(device), described)
        return self.method.loss(self._evidence(batch), target)

    def _evidence(self, batch: TrainingBatch) -> Evidence:
        class_names = [in_words(self.images.samples[index].class_name) for index in batch.indices]
        if not isinstance(self.method, FrozenBackboneMethod):
            with self._autocast():
                return self.method(self._normalised(batch.pixels), class_names)
        seen = self._seen(batch.pixels) if self._observations is None else self._observations.read(batch.indices)
        device = self.runtime.device
        with self._autocast():
            return self.method.predict_from_features(
                BackboneFeatures(seen.patches.to(device), seen.image.to(device), seen.grid), class_names
            )

    def _observe(self, indices: Sequence[int]) -> BackboneFeatures:
        return self._seen(self.images.batch(indices).pixels)

    @torch.no_grad()
    def _seen(self, pixels: Float[Tensor, "batch 3 rows cols"]) -> BackboneFeatures:
        """In the precision in which it is kept, whether it is kept or not."""
        assert isinstance(self.method, FrozenBackboneMethod)
        with self._autocast():
            seen = self.method.extract_features(self._normalised(pixels))
        kept = self.runtime.dtype
        return BackboneFeatures(seen.patches.to(kept), seen.image.to(kept), seen.grid)

    def _normalised(self, pixels: Float[Tensor, "batch 3 rows cols"]) -> Float[Tensor, "batch 3 rows cols"]:
        config = self.method.clip.config
        mean, std = (torch.tensor(values)[:, None, None] for values in (config.mean, config.std))
        return ((pixels - mean) / std).to(self.runtime.device)

    def _augment(self, batch: TrainingBatch, epoch: int) -> TrainingBatch:
        outside = self.method.clip.config.mean
        changed = [
            augment(image, mask, mixed(self.seed, epoch, index), outside, taken)
            for index, image, mask, taken in zip(batch.indices, batch.pixels, batch.masks, batch.taken, strict=True)
        ]
        images, masks = (torch.stack(layers) for layers in zip(*changed, strict=True))
        return replace(batch, pixels=images, masks=masks)

    def _autocast(self) -> AbstractContextManager[None]:
        half = self.runtime.precision == "bf16"
        return torch.autocast(self.runtime.device_type, torch.bfloat16, enabled=half)


def _identity(method: type[Method]) -> str:
    """What stands for the code that makes the features: of methods from elsewhere their source, which may be edited."""
    if method.__module__.startswith("zsad."):
        return method.__name__
    return f"{class_path(method)} {source_hash(method)}"


def mixed(*numbers: int) -> int:
    """One seed of several numbers."""
    seed = 0
    for number in numbers:
        seed = (seed * 1_000_003 + number + 1) % (1 << 62)
    return seed

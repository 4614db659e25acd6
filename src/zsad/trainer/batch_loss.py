"""From a batch of images to the terms of its loss; a frozen backbone extracts the features of an image once."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from zsad.backbones.prompt_cache import cache_dir
from zsad.data.specification import in_words
from zsad.methods import FrozenBackboneMethod, InContextMethod, Method, Trainable
from zsad.registry import class_path, source_hash
from zsad.runtime import RuntimeConfig
from zsad.trainer.augmentation import augment
from zsad.trainer.feature_cache import CHUNK, FeatureCache
from zsad.trainer.images import TrainingBatch, TrainingImages
from zsad.trainer.normal_images import NormalImages
from zsad.types import BackboneFeatures, Evidence, Target

Describe = Callable[[int], tuple[str, ...]]


@dataclass
class BatchLoss:
    """The forward pass of training: images, augmentation, features or backbone, the method, and the terms of its loss.

    Args:
        method: on its device.
        images: at the size of the method.
        seed: of the augmentation.
        augmented: whether images are augmented; their features then differ in every epoch and are not cached.
        runtime: device, precision, micro batch and cache.
        describe: gives the descriptions of an image, for methods whose loss uses them.

    Raises:
        InputError: the method is trained with normal images of each class, and a class has none.
    """

    method: Trainable
    images: TrainingImages
    seed: int
    augmented: bool
    runtime: RuntimeConfig
    describe: Describe | None = None

    def __post_init__(self) -> None:
        self._features: FeatureCache | None = None
        self._normal: NormalImages | None = None
        if isinstance(self.method, InContextMethod):
            self._normal = NormalImages(self.images.samples, self.method.training_shots)

    @property
    def caches_features(self) -> bool:
        """Whether the features of an image are extracted once and cached."""
        return isinstance(self.method, FrozenBackboneMethod) and not self.augmented and self.runtime.cache_gb > 0

    @property
    def needs_pixels(self) -> bool:
        """Whether the images of a batch must be read, and not only their masks."""
        return self._features is None

    def extract_features(self, hashes: Sequence[str]) -> Iterator[int]:
        """Fill the feature cache where features can be cached; yields the number of images that are done.

        Args:
            hashes: content hash of each image; without them nothing is cached.
        """
        if not hashes or not self.caches_features:
            return
        # The name of the folder is that of version 0.1.0, whose caches are still valid.
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
        cache = FeatureCache(root, key, len(self.images), self._extract_by_index, self.runtime.cache_bytes, chunk)
        yield from cache.fill()
        self.images.drop_pixels()
        self._features = cache

    def terms(self, batch: TrainingBatch, epoch: int) -> dict[str, Float[Tensor, ""]]:
        """The terms of the method's loss for a batch of an epoch, by name."""
        device, masks = self.runtime.device, batch.masks
        if self.augmented:
            batch = self._augment(batch, epoch)
            masks = batch.masks
        descriptions = tuple(self.describe(index) for index in batch.indices) if self.describe else ()
        target = Target(batch.labels.to(device), masks.to(device), descriptions)
        return self.method.loss(self._evidence(batch, epoch), target)

    def _evidence(self, batch: TrainingBatch, epoch: int) -> Evidence:
        class_names = [in_words(self.images.samples[index].class_name) for index in batch.indices]
        if not isinstance(self.method, FrozenBackboneMethod):
            with self._autocast():
                return self.method(self._normalised(batch.pixels), class_names)
        features = self._extract(batch.pixels) if self._features is None else self._features.read(batch.indices)
        if isinstance(self.method, InContextMethod):
            normal = self._normal_beside(batch.indices, epoch)
            with self._autocast():
                return self.method.predict_in_context(self._on_device(features), normal, class_names)
        with self._autocast():
            return self.method.predict_from_features(self._on_device(features), class_names)

    def _normal_beside(self, indices: Sequence[int], epoch: int) -> BackboneFeatures:
        """Features of other normal images of the class of each image, as their files are."""
        assert self._normal is not None
        chosen = [other for index in indices for other in self._normal.beside(index, mixed(self.seed, epoch, index))]
        extracted = self._extract_by_index(chosen) if self._features is None else self._features.read(chosen)
        return self._on_device(extracted)

    def _on_device(self, features: BackboneFeatures) -> BackboneFeatures:
        device = self.runtime.device
        return BackboneFeatures(features.patches.to(device), features.image.to(device), features.grid)

    def _extract_by_index(self, indices: Sequence[int]) -> BackboneFeatures:
        return self._extract(self.images.batch(indices).pixels)

    @torch.no_grad()
    def _extract(self, pixels: Float[Tensor, "batch 3 rows cols"]) -> BackboneFeatures:
        """In the precision of the cache, so that caching changes no number."""
        assert isinstance(self.method, FrozenBackboneMethod)
        with self._autocast():
            features = self.method.extract_features(self._normalised(pixels))
        dtype = self.runtime.dtype
        return BackboneFeatures(features.patches.to(dtype), features.image.to(dtype), features.grid)

    def _normalised(self, pixels: Float[Tensor, "batch 3 rows cols"]) -> Float[Tensor, "batch 3 rows cols"]:
        config = self.method.clip.config
        mean, std = (torch.tensor(values)[:, None, None] for values in (config.mean, config.std))
        return ((pixels - mean) / std).to(self.runtime.device)

    def _augment(self, batch: TrainingBatch, epoch: int) -> TrainingBatch:
        fill = self.method.clip.config.mean
        augmented = [
            augment(image, mask, mixed(self.seed, epoch, index), fill, size)
            for index, image, mask, size in zip(
                batch.indices, batch.pixels, batch.masks, batch.original_sizes, strict=True
            )
        ]
        images, masks = (torch.stack(layers) for layers in zip(*augmented, strict=True))
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
    """One seed from several numbers."""
    seed = 0
    for number in numbers:
        seed = (seed * 1_000_003 + number + 1) % (1 << 62)
    return seed

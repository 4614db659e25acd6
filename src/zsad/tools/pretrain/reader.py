"""Batches from prepared images: features standardised, words chosen."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from zsad.backbones.stem import Stem, on_grid
from zsad.backbones.tokenizer import Tokenizer
from zsad.tools.pretrain.objective import PretrainingBatch, pad
from zsad.tools.pretrain.recipe import PretrainingRecipe
from zsad.tools.pretrain.store import Store
from zsad.tools.pretrain.words import caption, state_pair

SAMPLE = 1000
"""Images from which the statistics of the features are taken."""


@dataclass(frozen=True)
class Standard:
    """Mean and deviation of each channel over part of the training images."""

    mean: Float[Tensor, "channels"]
    deviation: Float[Tensor, "channels"]


def standard(values: np.ndarray) -> Standard:
    """The statistics of an array of images × channels × any grid."""
    rows = np.linspace(0, len(values) - 1, min(len(values), SAMPLE)).astype(int)
    part = torch.from_numpy(np.asarray(values[rows], np.float32))
    axes = [axis for axis in range(part.ndim) if axis != 1]
    return Standard(part.mean(axes), part.std(axes).clamp(min=1e-3))


@dataclass(frozen=True)
class FeatureReader:
    """Reads the images of a store; ``stem`` standardises their maps, ``pooled`` says how their vectors are."""

    store: Store
    tokenizer: Tokenizer
    stem: Stem
    pooled: Standard

    def usable(self) -> np.ndarray:
        """The images that may train: of no state that is unknown."""
        return np.flatnonzero([meta.has_state for meta in self.store.meta])

    def training(self, recipe: PretrainingRecipe, step: int) -> PretrainingBatch:
        """The images of a step: a pass over those that train in a fresh order, again and again."""
        usable = self.usable()
        size = min(recipe.batch, len(usable))
        per_pass = len(usable) // size
        order = np.random.default_rng([recipe.seed, 7, step // per_pass]).permutation(usable)
        rows = np.sort(order[(step % per_pass) * size :][:size])
        return self._read(rows, np.random.default_rng([recipe.seed, 8, step]), recipe)

    def validating(self, rows: np.ndarray) -> PretrainingBatch:
        """These images as they are, with words that depend on the first of the rows alone."""
        return self._read(rows, np.random.default_rng(int(rows[0])), None)

    def _read(self, rows: np.ndarray, rng: np.random.Generator, recipe: PretrainingRecipe | None) -> PretrainingBatch:
        """The recipe is given in training, which varies what was seen."""
        metas = [self.store.meta[row] for row in rows]
        captions = [caption(rng, meta.name, meta.kinds, meta.caption) for meta in metas]
        pairs = [state_pair(rng, meta.name, meta.kinds) for meta in metas]
        features, coverage = self._maps(rows), _tensor(self.store.coverage, rows)
        if recipe is not None:
            mirrored = torch.from_numpy(rng.random(len(rows)) < 0.5)
            features, coverage = _mirror(features, mirrored), _mirror(coverage, mirrored)
            features = _varied(rng, features, recipe)
        return PretrainingBatch(
            features,
            (_tensor(self.store.pooled, rows) - self.pooled.mean) / self.pooled.deviation,
            coverage,
            pad([self.tokenizer.encode(text) for text in captions]),
            torch.tensor([[float(a == b) for b in captions] for a in captions]),
            pad([self.tokenizer.encode(text) for text in self._in_order(pairs)]),
        )

    def _maps(self, rows: np.ndarray) -> Float[Tensor, "batch 472 grid_rows grid_cols"]:
        maps = (_tensor(values, rows) for values in (self.store.early, self.store.middle, self.store.deep))
        mean, deviation = self._statistics
        return (on_grid(*maps) - mean) / deviation

    @cached_property
    def _statistics(self) -> tuple[Tensor, Tensor]:
        """Where the images are read, wherever the stem is."""
        return self.stem.mean.cpu()[:, None, None], self.stem.deviation.cpu()[:, None, None]

    @staticmethod
    def _in_order(pairs: list[tuple[str, str]]) -> list[str]:
        return [normal for normal, _ in pairs] + [anomalous for _, anomalous in pairs]


def _tensor(values: np.ndarray, rows: np.ndarray) -> Tensor:
    return torch.from_numpy(np.array(values[rows], np.float32))


def _mirror(values: Tensor, mirrored: Tensor) -> Tensor:
    return torch.where(mirrored.reshape(-1, *[1] * (values.ndim - 1)), values.flip(-1), values)


def _varied(rng: np.random.Generator, features: Tensor, recipe: PretrainingRecipe) -> Tensor:
    """Noise, and another scale and shift of each feature in each image: no camera is like another."""

    def normal(*shape: int) -> Tensor:
        return torch.from_numpy(rng.standard_normal(shape, dtype=np.float32))

    images, channels = features.shape[:2]
    scale, shift = (recipe.jitter * normal(images, channels, 1, 1) for _ in range(2))
    return (features + recipe.noise * normal(*features.shape)) * (1 + scale) + shift

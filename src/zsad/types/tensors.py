"""Batches, and what towers and methods make of them, in PyTorch."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from jaxtyping import Float
from torch import Tensor

from zsad.types.images import Size


@dataclass(frozen=True)
class ImageBatch:
    """Images resized to one size and normalised for a backbone, with the sizes they came in."""

    pixels: Float[Tensor, "batch 3 rows cols"]
    sizes: tuple[Size, ...]
    sources: tuple[str, ...]


@dataclass(frozen=True)
class Trace:
    """The outputs of a forward pass through a vision tower.

    Attributes:
        kept: output of the requested blocks, by block index from 0; index -1 is the input of block 0.
        last: output of the last block.
        grid: (rows, cols) of the patch tokens; tokens = 1 + rows * cols, and registers of a backbone that has some.
    """

    kept: Mapping[int, Float[Tensor, "batch tokens width"]]
    last: Float[Tensor, "batch tokens width"]
    grid: Size


@dataclass(frozen=True)
class Evidence:
    """The result of a method for a batch of images.

    Attributes:
        maps: P(anomalous) per level on the patch grid, in [0, 1].
        score: P(anomalous) of each image, in [0, 1], as the method combines it.
        logits: log-odds of the maps, of a method that enlarges these instead of probabilities; where there are fewer
            levels of them, they are those of the first maps, and the others are enlarged as probabilities.

    A method that trains may return a subclass that holds what only its loss needs.
    """

    maps: Float[Tensor, "batch levels rows cols"]
    score: Float[Tensor, "batch"]
    logits: Float[Tensor, "batch first_levels rows cols"] | None = field(default=None, kw_only=True)


@dataclass(frozen=True)
class BackboneFeatures:
    """The features that a method uses of a frozen backbone; they never change, so training caches them on disk.

    Attributes:
        patches: patch tokens at the levels that the method reads, class token left out.
        image: class token of the last block, in the joint space.
        grid: (rows, cols) of the patches; cells = rows * cols.
    """

    patches: Float[Tensor, "batch levels cells width"]
    image: Float[Tensor, "batch embed"]
    grid: Size


@dataclass(frozen=True)
class Target:
    """The ground truth of a batch, for training.

    Attributes:
        labels: 0 normal, 1 anomalous.
        masks: 0 normal, 1 anomalous, at the size of the images.
        descriptions: sentences about the possible defects of each image; () for methods that do not use them.
    """

    labels: Float[Tensor, "batch"]
    masks: Float[Tensor, "batch rows cols"]
    descriptions: tuple[tuple[str, ...], ...] = ()

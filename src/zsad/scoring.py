"""From evidence to anomaly maps and image scores, the same for every method and every command."""

from collections.abc import Sequence
from functools import lru_cache
from typing import Unpack

import torch
from jaxtyping import Float, Float32
from torch import Tensor

from zsad.methods._base import Config, Upsampling
from zsad.parts.maps import evidence_maps, pixel_maps, resize, scores_of
from zsad.types import Evidence, Size

REMEMBERED = 64
"""Operators that are remembered; images of one folder mostly have one size, or few."""


def anomaly_maps(evidence: Evidence, size: Size, config: Config) -> Float[Tensor, "batch rows cols"]:
    """The levels fused into one map, upsampled to ``size`` and smoothed as configured; fp32, in [0, 1].

    Levels with log-odds are upsampled as such, the others as probabilities. On the device of the evidence.
    """
    logits = None if evidence.logits is None else evidence.logits.float()
    return evidence_maps(evidence.maps.float(), logits, size, **config.upsampling)


def maps_of_images(
    evidence: Evidence, side: int, config: Config, sizes: Sequence[Size]
) -> list[Float32[Tensor, "_ _"]]:
    """The map of each image at a size of its own: :func:`anomaly_maps` at the size of the method, and resized.

    All of these steps are linear and separable where probabilities are upsampled: one product with a matrix from the
    left and one from the right gives the same up to rounding, in a tenth of the time.

    Args:
        evidence: of the images.
        side: in px at which the method runs.
        config: of the method.
        sizes: (rows, cols) of each map.
    """
    grid = evidence.maps.shape[-2:]
    is_separable = evidence.logits is None and grid[0] == grid[1]
    if not is_separable or any(size == (side, side) for size in sizes):
        maps = anomaly_maps(evidence, (side, side), config)
        return [resize(each[None], size)[0] for each, size in zip(maps, sizes, strict=True)]
    fused, how = evidence.maps.float().mean(1), config.upsampling

    def operator(pixels: int) -> Float32[Tensor, "_ _"]:
        return _operator(grid[0], side, pixels, fused.device, **how)

    products = ((operator(rows), each, operator(cols).mT) for each, (rows, cols) in zip(fused, sizes, strict=True))
    return [(left @ each @ right).clamp(0, 1) for left, each, right in products]


@lru_cache(REMEMBERED)
def _operator(
    cells: int, side: int, pixels: int, device: torch.device, **upsampling: Unpack[Upsampling]
) -> Float32[Tensor, "_ _"]:
    """What upsampling to ``side``, smoothing and resizing to ``pixels`` do along one axis: [pixels, cells]."""
    with torch.inference_mode(False), torch.no_grad():
        # A map for each cell, its columns alike: two of them, for with one PyTorch mistakes the order of its memory.
        unit = torch.eye(cells)[:, None, :, None].repeat(1, 1, 1, 2)
        maps = pixel_maps(unit, (side, 2), **upsampling)
        return resize(maps, (pixels, 2))[..., 0].mT.contiguous().to(device)


def image_scores(evidence: Evidence, config: Config) -> Float[Tensor, "batch"]:
    """P(anomalous) of each image, in [0, 1]: of the method, of the upper part of its map, or of both, as configured."""
    return scores_of(evidence.score, evidence.maps, config.image_score, config.map_share)

"""Anomaly maps of the patch grid at the size of images: upsampled, smoothed; and what they say of the whole image."""

from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F

from zsad.types import Size

LEAST_ODDS = 1e-6
"""Probabilities nearer to 0 or 1 count as that near where log-odds are taken."""
TRUNCATE = 4.0
"""The Gaussian ends after this many standard deviations, as in SciPy, which published code uses."""


def pixel_maps(
    levels: Float[Tensor, "batch levels rows cols"],
    size: Size,
    *,
    sigma: float,
    align_corners: bool = False,
    window: int | None = None,
    logits: bool = False,
) -> Float[Tensor, "batch new_rows new_cols"]:
    """One map of P(anomalous) per image, at its size in pixels, in fp32 even where convolutions are not.

    Probabilities are averaged over the levels, then upsampled. Log-odds are upsampled, then averaged as probabilities.

    Args:
        levels: of each level on the grid, P(anomalous) or its log-odds.
        size: (rows, cols) in px.
        sigma: standard deviation of the Gaussian in px at that size; 0 for no smoothing.
        align_corners: whether the outermost cells have their centres on the image's border; otherwise every cell lies
            over its own patch.
        window: side in cells of the Gaussian window with which the grid is smoothed first; if None, the upsampled map
            is smoothed with a full Gaussian.
        logits: whether the levels are log-odds.
    """
    with torch.autocast(levels.device.type, enabled=False):
        levels = levels.float()
        if window is not None:
            levels = smooth_within(levels, sigma * levels.shape[-2] / size[0], window)
        if logits:
            maps = interpolate(levels, size, align_corners=align_corners).sigmoid().mean(1)
        else:
            maps = resize(levels.mean(1), size, align_corners=align_corners)
        return maps if window is not None else smooth(maps, sigma)


def evidence_maps(
    maps: Float[Tensor, "batch levels rows cols"],
    logits: Float[Tensor, "batch first_levels rows cols"] | None,
    size: Size,
    *,
    sigma: float,
    align_corners: bool = False,
    window: int | None = None,
) -> Float[Tensor, "batch new_rows new_cols"]:
    """The mean over all levels, those with log-odds enlarged as log-odds and the others as probabilities.

    Args:
        maps, logits: as :class:`zsad.types.Evidence` has them.
        size, sigma, align_corners, window: as :func:`pixel_maps` takes them.
    """

    def enlarged(levels: Tensor, *, logits: bool) -> Tensor:
        return pixel_maps(levels, size, sigma=sigma, align_corners=align_corners, window=window, logits=logits)

    if logits is None:
        return enlarged(maps, logits=False)
    others = maps.shape[1] - logits.shape[1]
    first = enlarged(logits, logits=True)
    if not others:
        return first
    return first.lerp(enlarged(maps[:, -others:], logits=False), others / maps.shape[1])


def map_maximum(
    maps: Float[Tensor, "batch levels rows cols"],
    logits: Float[Tensor, "batch first_levels rows cols"] | None,
    patch: int,
    *,
    sigma: float,
    align_corners: bool = False,
    window: int | None = None,
) -> Float[Tensor, "batch"]:
    """The maximum of the map of each image at the size in px that its patches of ``patch`` px cover.

    Args:
        maps, logits, sigma, align_corners, window: as :func:`evidence_maps` takes them.
        patch: side of a patch in px.
    """
    size = maps.shape[-2] * patch, maps.shape[-1] * patch
    enlarged = evidence_maps(maps, logits, size, sigma=sigma, align_corners=align_corners, window=window)
    return enlarged.amax((1, 2))


def interpolate(
    levels: Float[Tensor, "batch levels rows cols"], size: Size, *, align_corners: bool
) -> Float[Tensor, "batch levels new_rows new_cols"]:
    """Bilinear; antialiased when downsampling."""
    downsamples = size[0] < levels.shape[2] or size[1] < levels.shape[3]
    return F.interpolate(levels, size, mode="bilinear", align_corners=align_corners, antialias=downsamples)


def resize(
    maps: Float[Tensor, "batch rows cols"], size: Size, *, align_corners: bool = False
) -> Float[Tensor, "batch new_rows new_cols"]:
    """Probabilities at another size, bilinear, antialiased when downsampling; in [0, 1]."""
    return interpolate(maps[:, None], size, align_corners=align_corners)[:, 0].clamp(0, 1)


def smooth(maps: Float[Tensor, "batch rows cols"], sigma: float) -> Float[Tensor, "batch rows cols"]:
    """Gaussian filter of probabilities, reflected at the border with the edge pixel repeated; none for sigma 0."""
    if sigma == 0:
        return maps
    radius = int(TRUNCATE * sigma + 0.5)
    return _filtered(maps[:, None], sigma, radius, repeat_edge=True)[:, 0].clamp(0, 1)


def smooth_within(
    levels: Float[Tensor, "batch levels rows cols"], sigma: float, window: int
) -> Float[Tensor, "batch levels rows cols"]:
    """Gaussian filter with a window of odd side, reflected at the border without repeating the edge, as Kornia."""
    return levels if sigma == 0 else _filtered(levels, sigma, window // 2, repeat_edge=False)


def _filtered(
    levels: Float[Tensor, "batch levels rows cols"], sigma: float, radius: int, *, repeat_edge: bool
) -> Float[Tensor, "batch levels rows cols"]:
    offsets = torch.arange(-radius, radius + 1, device=levels.device, dtype=levels.dtype)
    kernel = torch.exp(-0.5 * (offsets / sigma) ** 2)
    kernel = (kernel / kernel.sum()).reshape(1, 1, 1, -1)
    planes = levels.flatten(0, 1)
    for _ in ("across", "down"):
        index = _mirrored(planes.shape[-1], radius, repeat_edge).to(planes.device)
        planes = F.conv2d(planes[..., index][:, None], kernel)[:, 0].transpose(1, 2)
    return planes.unflatten(0, levels.shape[:2])


def _mirrored(side: int, radius: int, repeat_edge: bool) -> Int[Tensor, "positions"]:
    """Reflected index of each position from -radius to side + radius."""
    period = 2 * side if repeat_edge else max(2 * side - 2, 1)
    index = torch.arange(-radius, side + radius) % period
    return torch.minimum(index, (period - 1 if repeat_edge else period) - index).clamp_min(0)


def scores_of(
    score: Float[Tensor, "batch"],
    maps: Float[Tensor, "batch levels rows cols"],
    source: Literal["method", "map", "both"],
    share: float,
) -> Float[Tensor, "batch"]:
    """P(anomalous) of each image: its score, the mean of the highest share of its map, or the mean log-odds of both.

    Args:
        score: of each image as its method combines it, in [0, 1].
        maps: P(anomalous) per level.
        source: which of the three.
        share: of the cells, in (0, 1]; at least one counts.
    """
    if source == "method":
        return score
    cells = maps.float().mean(1).flatten(1)
    upper = cells.topk(max(1, round(share * cells.shape[1])), 1).values.mean(1)
    if source == "map":
        return upper
    return torch.stack([score.float(), upper]).logit(LEAST_ODDS).mean(0).sigmoid()

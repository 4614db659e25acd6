"""The losses that this family of papers shares, as its published code computes them (VAND and its descendants).

All take probabilities, not logits, in fp32, and return the mean over the batch.
"""

from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from zsad.parts.maps import interpolate

SMOOTHING = 1e-5
"""Label smoothing of the focal loss, which keeps its logarithm finite."""
GAMMA = 2.0
EPSILON = 1e-6


def focal(
    maps: Float[Tensor, "batch rows cols"], masks: Float[Tensor, "batch rows cols"], gamma: float = GAMMA
) -> Float[Tensor, ""]:
    """Focal loss (Lin et al. 2017) of P(anomalous) per pixel: -(1 - p)^γ log p of the true state, without α.

    Args:
        maps: P(anomalous) in [0, 1].
        masks: 0 normal, 1 anomalous.
        gamma: γ, the focus on misclassified pixels.
    """
    right = maps * masks + (1 - maps) * (1 - masks)
    smoothed = right * (1 - SMOOTHING) + (1 - right) * SMOOTHING + SMOOTHING
    # With smoothing, a perfect pixel is slightly above 1.
    return -((1 - smoothed).clamp(min=0) ** gamma * smoothed.log()).mean()


def dice(maps: Float[Tensor, "batch rows cols"], masks: Float[Tensor, "batch rows cols"]) -> Float[Tensor, ""]:
    """Soft Dice loss (Milletari et al. 2016) of each image: 1 - (2 Σ p·g + 1) / (Σ p + Σ g + 1)."""
    both = (maps * masks).sum((1, 2))
    return (1 - (2 * both + 1) / (maps.sum((1, 2)) + masks.sum((1, 2)) + 1)).mean()


def dice_of_both_states(
    maps: Float[Tensor, "batch rows cols"], masks: Float[Tensor, "batch rows cols"]
) -> Float[Tensor, ""]:
    """The Dice loss of P(anomalous) in anomalous pixels, plus that of P(normal) in normal ones."""
    return dice(maps, masks) + dice(1 - maps, 1 - masks)


def image_cross_entropy(score: Float[Tensor, "*batch"], labels: Float[Tensor, "*batch"]) -> Float[Tensor, ""]:
    """Binary cross-entropy of P(anomalous) of whole images; kept finite where a probability is 0 or 1.

    It is NaN where a probability is (PyTorch's own raises): the trainer reports which term it was.
    """
    if score.isnan().any():
        return score.float().mean()
    return F.binary_cross_entropy(score.float().clamp(EPSILON, 1 - EPSILON), labels)


def upsample(
    maps: Float[Tensor, "batch levels rows cols"],
    masks: Float[Tensor, "batch mask_rows mask_cols"],
    *,
    align_corners: bool,
) -> Float[Tensor, "batch levels mask_rows mask_cols"]:
    """Maps of the grid upsampled to the size of the masks, aligned as in prediction, and not smoothed."""
    return interpolate(maps, (masks.shape[-2], masks.shape[-1]), align_corners=align_corners)


def segmentation_losses(
    logits: Float[Tensor, "batch levels rows cols"],
    masks: Float[Tensor, "batch mask_rows mask_cols"],
    *,
    align_corners: bool,
    both_states: bool = False,
) -> dict[str, Float[Tensor, ""]]:
    """Focal and Dice loss of the enlarged map of each level, each a sum over the levels (code of APRIL-GAN).

    Args:
        logits: log-odds of each level, which are enlarged before they become probabilities.
        masks: 0 normal, 1 anomalous.
        align_corners: as in prediction.
        both_states: whether Dice is that of the anomalous and of the normal state (code of AA-CLIP).
    """
    levels = logits.shape[1]
    maps = upsample(logits, masks, align_corners=align_corners).sigmoid().flatten(0, 1)
    repeated = masks.repeat_interleave(levels, 0)
    overlap = dice(maps, repeated) + (dice(1 - maps, 1 - repeated) if both_states else 0)
    return {"focal": levels * focal(maps, repeated), "dice": levels * overlap}

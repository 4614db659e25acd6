"""Residuals between the patches of images and those of the normal images beside them."""

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from zsad.backbones.transformer import l2_normalize
from zsad.types import BackboneFeatures


@dataclass(frozen=True)
class Context:
    """Images, and the normal images that each is compared with in training.

    Attributes:
        patches: of the images.
        normal_patches: of all normal images of each image, together.
        normal_tokens: class tokens of the normal images of each image.
    """

    patches: Float[Tensor, "batch levels cells width"]
    normal_patches: Float[Tensor, "batch levels normal_cells width"]
    normal_tokens: Float[Tensor, "batch shots embed"]


def in_order(images: BackboneFeatures, normal: BackboneFeatures) -> Context:
    """Each image with the normal images that were drawn for it."""
    patches, tokens = (of.unflatten(0, (len(images.image), -1)) for of in (normal.patches, normal.image))
    return Context(images.patches, patches.transpose(1, 2).flatten(2, 3), tokens)


def mixed_up(images: BackboneFeatures, normal: BackboneFeatures) -> Context:
    """As the authors' code has them, which takes one order of the axes for another where it reshapes a batch.

    Its patches are [levels, batch, ...] and [levels, shots x batch, ...], read as [batch, levels, ...] and
    [batch, levels, shots, ...]; its class tokens are [shots x batch, ...], read as [batch, shots, ...].
    """
    batch, levels, cells, width = images.patches.shape
    patches, tokens = (of.unflatten(0, (batch, -1)) for of in (normal.patches, normal.image))
    return Context(
        images.patches.transpose(0, 1).reshape(batch, levels, cells, width),
        patches.permute(2, 1, 0, 3, 4).reshape(batch, levels, -1, width),
        tokens.transpose(0, 1).reshape(tokens.shape),
    )


def distances(context: Context) -> Float[Tensor, "batch levels cells"]:
    """(1 - cosine) / 2 of each patch from the most similar normal one of its level, in [0, 1]."""
    patches, normal = (l2_normalize(of.float()) for of in (context.patches, context.normal_patches))
    return ((1 - (patches @ normal.mT).amax(-1)) / 2).clamp(0, 1)

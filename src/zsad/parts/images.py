"""Images as other networks than CLIP, or published code, take them."""

from jaxtyping import Float
from torch import Tensor

from zsad.backbones.config import ClipConfig


def unnormalised(images: Float[Tensor, "batch 3 rows cols"], config: ClipConfig) -> Float[Tensor, "batch 3 rows cols"]:
    """RGB in [0, 1] from images that were normalised for a CLIP of that configuration."""
    mean, std = (images.new_tensor(of)[:, None, None] for of in (config.mean, config.std))
    return images * std + mean

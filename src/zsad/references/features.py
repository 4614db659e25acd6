"""Features of patches that can be compared: neighbourhood averages of unit length, in fewer dimensions if asked for."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from zsad.backbones.transformer import l2_normalize
from zsad.config import check_within
from zsad.errors import ConfigError
from zsad.types import Size

LARGEST_NEIGHBOURHOOD = 31


@dataclass(frozen=True)
class PatchFeatures:
    """Unit features of the patches of a batch.

    Attributes:
        streams: for each level and each size of the neighbourhood, level by level.
        grid: (rows, cols) of the patches; cells = rows * cols.
    """

    streams: tuple[Float[Tensor, "batch cells _"], ...]
    grid: Size

    def __len__(self) -> int:
        return self.streams[0].shape[0]

    def of_image(self, index: int) -> "PatchFeatures":
        """Those of one image, as a batch of one."""
        return PatchFeatures(tuple(stream[index : index + 1] for stream in self.streams), self.grid)


def neighbourhood_average(
    features: Float[Tensor, "batch width rows cols"], side: int
) -> Float[Tensor, "batch width rows cols"]:
    """Mean over ``side`` x ``side`` patches around each patch; outside the image there are zeros.

    LNAMD of MuSc (Li et al., ICLR 2024), and the patches of PatchCore (Roth et al., CVPR 2022).

    Raises:
        ConfigError: the side is even, or not in 1..31.
    """
    check_within("the side of a neighbourhood in patches", side, 1, LARGEST_NEIGHBOURHOOD)
    if side % 2 == 0:
        raise ConfigError("the side of a neighbourhood is odd", side, f"say {side + 1}")
    return features if side == 1 else F.avg_pool2d(features, side, stride=1, padding=side // 2)


class RandomProjection(nn.Module):
    """Random orthogonal directions: inner products of unit features are kept up to noise of 1 / sqrt(directions).

    Args:
        width: of the features.
        directions: at most ``width``.
        seed: of the draw.
    """

    directions: Float[Tensor, "width directions"]

    def __init__(self, width: int, directions: int, seed: int = 0) -> None:
        super().__init__()
        check_within("the number of directions", directions, 1, width)
        drawn = torch.randn(width, directions, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
        self.register_buffer("directions", torch.linalg.qr(drawn).Q.float(), persistent=False)

    def forward(self, features: Float[Tensor, "*leading width"]) -> Float[Tensor, "*leading directions"]:
        """The features along the directions."""
        return features @ self.directions.to(features.dtype)


def patch_features(
    levels: Sequence[Float[Tensor, "batch _ rows cols"]],
    neighbourhoods: Sequence[int] = (1,),
    *,
    normalise_image: bool = False,
    projections: Sequence[nn.Module] | None = None,
) -> PatchFeatures:
    """Unit features of every patch, in fp32, for each level and each neighbourhood.

    Args:
        levels: features of blocks of a tower, or of stages of a CNN, all on one grid.
        neighbourhoods: sides of the squares of patches that are averaged.
        normalise_image: whether all features of an image at a level are first brought to mean 0 and variance 1
            (the layer normalisation of MuSc's code).
        projections: one for each level, applied before the features are brought to unit length.
    """
    streams = []
    for number, level in enumerate(levels):
        features = level.float()
        if normalise_image:
            features = F.layer_norm(features, features.shape[1:])
        projection = projections[number] if projections is not None else nn.Identity()
        if isinstance(projection, RandomProjection):  # as linear as the average is, which then has less to do
            features, projection = projection(features.movedim(1, -1)).movedim(-1, 1), nn.Identity()
        for side in neighbourhoods:
            cells = neighbourhood_average(features, side).flatten(2).transpose(1, 2)
            streams.append(l2_normalize(projection(cells)))
    rows, cols = levels[0].shape[-2:]
    return PatchFeatures(tuple(streams), (rows, cols))


def rotations(images: Float[Tensor, "batch 3 rows cols"], count: int) -> Float[Tensor, "count batch 3 rows cols"]:
    """Copies of images at ``count`` angles, evenly spread over a full turn from 0 on.

    Outside the image there is its median colour. References at several angles as in AnomalyDINO (Damm et al., WACV
    2025).

    Args:
        images: of any range.
        count: number of angles, 1..72; the first copy is the image itself.
    """
    check_within("the number of rotations", count, 1, 72)
    median = images.flatten(2).median(-1).values[..., None, None]
    return torch.stack([images, *(_rotated(images, 2 * torch.pi * k / count, median) for k in range(1, count))])


def _rotated(
    images: Float[Tensor, "batch 3 rows cols"], angle: float, fill: Float[Tensor, "batch 3 1 1"]
) -> Float[Tensor, "batch 3 rows cols"]:
    """Bilinear, about the centre."""
    rows, cols = images.shape[-2:]
    cos, sin = torch.cos(torch.tensor(angle)).item(), torch.sin(torch.tensor(angle)).item()
    matrix = images.new_tensor([[cos, -sin * rows / cols, 0], [sin * cols / rows, cos, 0]])
    where = F.affine_grid(matrix.expand(len(images), 2, 3), list(images.shape), align_corners=False)
    return F.grid_sample(images - fill, where, mode="bilinear", padding_mode="zeros", align_corners=False) + fill

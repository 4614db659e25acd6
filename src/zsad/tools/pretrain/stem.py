"""The weights of a hybrid tower's convolutions: those of the published CNN, with its batch norms folded in."""

import torch
from torch import nn

from zsad.backbones.stem import InvertedResidual, SamePaddedConv, Stem
from zsad.tools.pretrain.teacher import Teacher


@torch.no_grad()
def fill(stem: Stem, teacher: Teacher) -> Stem:
    """Give the convolutions the weights of the CNN; the projection is left alone. Returns the stem."""
    network = teacher.network
    _fold(stem.first, network._conv_stem, network._bn0)
    ours = [module for module in stem.stages.modules() if isinstance(module, InvertedResidual)]
    for block, theirs in zip(ours, network._blocks, strict=True):
        if block.expand is not None:
            _fold(block.expand, theirs._expand_conv, theirs._bn0)
        _fold(block.depthwise, theirs._depthwise_conv, theirs._bn1)
        _fold(block.narrow, theirs._project_conv, theirs._bn2)
    return stem


def _fold(ours: SamePaddedConv, theirs: nn.Conv2d, norm: nn.BatchNorm2d) -> None:
    """The convolution and what its norm makes of its output, in one."""
    assert norm.running_var is not None
    assert norm.running_mean is not None
    scale = norm.weight / (norm.running_var + norm.eps).sqrt()
    ours.weight.copy_(theirs.weight * scale[:, None, None, None])
    assert ours.bias is not None
    ours.bias.copy_(norm.bias - norm.running_mean * scale)

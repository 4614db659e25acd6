"""Adapters between the blocks of a frozen tower: low-rank updates, with or without convolutions, and their blending.

Ma et al., "Architectural Co-Design for Zero-Shot Anomaly Detection", 2025, section 2.1. An :class:`Adapter` is an edit
for the argument ``after`` of the towers.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from zsad.backbones.transformer import l2_normalize
from zsad.types import Size

UP_STD = 0.02
"""Initial standard deviation of a W_up whose update is blended (authors' code); one that is added starts at zero."""


class Adapter(nn.Module):
    """Merges an update into the tokens, except for the first ``spared`` (the class token).

    Without ``blend`` the update is added. With it, the update of each token is scaled to the norm of the token, and
    both are mixed by a learned weight per channel: (1 - w)·x + w·Δ·|x|/|Δ|, which is independent of the scale of the
    update.

    Args:
        update: (tokens, grid) -> Δ.
        width: of the tokens.
        blend: initial value of w; ``None`` adds the update.
        spared: number of leading tokens that are not changed.
    """

    def __init__(self, update: "Lora | ConvLora", width: int, *, blend: float | None, spared: int) -> None:
        super().__init__()
        self.update, self.spared = update, spared
        self.blend = None if blend is None else nn.Parameter(torch.full((1, 1, width), blend))

    def forward(self, tokens: Float[Tensor, "batch tokens width"], grid: Size) -> Float[Tensor, "batch tokens width"]:
        first, adapted = tokens[:, : self.spared], tokens[:, self.spared :]
        merged = self.merge(adapted, self.update(adapted, grid))
        return torch.cat([first, merged.to(tokens.dtype)], 1)

    def merge(
        self, tokens: Float[Tensor, "batch tokens width"], update: Float[Tensor, "batch tokens width"]
    ) -> Float[Tensor, "batch tokens width"]:
        """The tokens with their update."""
        if self.blend is None:
            return tokens + update
        lengths = tokens.float().norm(dim=-1, keepdim=True)
        return (1 - self.blend) * tokens + self.blend * (lengths * l2_normalize(update.float()))


class Lora(nn.Module):
    """A low-rank update of each token (Hu et al. 2022): scale · x W_down W_up."""

    def __init__(self, width: int, rank: int, scale: float, *, zero: bool) -> None:
        super().__init__()
        self.scale = scale
        self.down, self.up = _down(width, rank), _up(width, rank, zero)

    def forward(self, tokens: Float[Tensor, "batch tokens width"], grid: Size) -> Float[Tensor, "batch tokens width"]:
        return tokens @ self.down @ (self.scale * self.up)


class ConvLora(nn.Module):
    """A low-rank update with spatial context: parallel k×k convolutions inside the bottleneck, equations 1-3.

    All of it is linear, without biases, so W_up and the 1×1 convolution that joins the branches are multiplied with
    each other first: the concatenation of the branches, [batch, kernels·width, rows, cols], is never formed.

    Args:
        width: of the tokens.
        rank: of W_down and W_up.
        conv_rank: channels between the two convolutions of a branch.
        kernels: odd sides k, one branch each.
        shared: whether the branches share W_down and W_up.
        divided: whether each convolution is divided by its k.
        zero: whether W_up, and with it the update, starts at zero.
    """

    def __init__(
        self, width: int, rank: int, conv_rank: int, kernels: Sequence[int], *, shared: bool, divided: bool, zero: bool
    ) -> None:
        super().__init__()
        pairs = 1 if shared else len(kernels)
        self.scales = [1 / kernel**2 if divided else 1.0 for kernel in kernels]
        self.down = nn.ParameterList(_down(width, rank) for _ in range(pairs))
        self.up = nn.ParameterList(_up(width, rank, zero) for _ in range(pairs))
        self.conv_down = nn.ModuleList(_convolution(rank, conv_rank, kernel) for kernel in kernels)
        self.conv_up = nn.ModuleList(_convolution(conv_rank, rank, kernel) for kernel in kernels)
        self.fusion = nn.Conv2d(len(kernels) * width, width, 1, bias=False)

    def forward(self, tokens: Float[Tensor, "batch cells width"], grid: Size) -> Float[Tensor, "batch cells width"]:
        low = (tokens @ torch.cat(list(self.down), 1)).transpose(1, 2).unflatten(2, grid)
        inputs = self._for_each_branch(low.chunk(len(self.down), 1))
        branches = [
            up(down(part)) for down, up, part in zip(self.conv_down, self.conv_up, inputs, strict=True)
        ]  # equations 2, 3
        return torch.cat(branches, 1).flatten(2).transpose(1, 2) @ self.expansion()  # equations 3, 1

    def expansion(self) -> Float[Tensor, "channels width"]:
        """W_up of each branch times its share of the 1×1 convolution; both divisions by k are in it."""
        shares = self.fusion.weight.flatten(1).chunk(len(self.scales), 1)
        ups = self._for_each_branch(tuple(self.up))
        return torch.cat([scale * up @ share.T for scale, up, share in zip(self.scales, ups, shares, strict=True)])

    def _for_each_branch(self, tensors: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        return tensors if len(tensors) == len(self.scales) else tensors * len(self.scales)


def _down(width: int, rank: int) -> nn.Parameter:
    return nn.Parameter(nn.init.kaiming_uniform_(torch.empty(width, rank)))


def _up(width: int, rank: int, zero: bool) -> nn.Parameter:
    return nn.Parameter(nn.init.normal_(torch.empty(rank, width), std=0.0 if zero else UP_STD))


def _convolution(channels: int, out: int, kernel: int) -> nn.Conv2d:
    convolution = nn.Conv2d(channels, out, kernel, padding=kernel // 2, bias=False)
    nn.init.kaiming_uniform_(convolution.weight)
    return convolution

"""The trained modules of InCTRL: the adapter of class tokens, and the heads that make a score of a residual."""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

HIDDEN = (128, 64)
"""Widths of a head (code)."""


class Adapter(nn.Module):
    """Two linear layers without bias, each followed by a ReLU (code): embed -> embed / reduction -> embed."""

    def __init__(self, embed: int, reduction: int) -> None:
        super().__init__()
        hidden = max(embed // reduction, 1)
        self.down = nn.Linear(embed, hidden, bias=False)
        self.up = nn.Linear(hidden, embed, bias=False)

    def forward(self, tokens: Float[Tensor, "*batch embed"]) -> Float[Tensor, "*batch embed"]:
        """Adapted class tokens, at least 0."""
        return F.relu(self.up(F.relu(self.down(tokens))))


class BatchNorm(nn.BatchNorm1d):
    """As PyTorch's, except that a batch of one, which the last of an epoch may be, has the running statistics."""

    def forward(self, input: Float[Tensor, "batch width"]) -> Float[Tensor, "batch width"]:
        if self.training and len(input) == 1:
            return F.batch_norm(input, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps)
        return super().forward(input)


class ScoreHead(nn.Module):
    """From a residual to P(anomalous): two layers with ReLU and then batch normalisation, one layer, sigmoid (code)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(width, HIDDEN[0]), nn.Linear(*HIDDEN)
        self.last = nn.Linear(HIDDEN[1], 1)
        self.first_norm, self.second_norm = (BatchNorm(width) for width in HIDDEN)

    def forward(self, residual: Float[Tensor, "batch width"]) -> Float[Tensor, "batch"]:
        """P(anomalous), in fp32."""
        hidden, dtype = residual.to(self.first.weight.dtype), self.first_norm.weight.dtype
        hidden = self.first_norm(F.relu(self.first(hidden)).to(dtype))
        hidden = self.second_norm(F.relu(self.second(hidden)).to(dtype))
        return torch.sigmoid(self.last(hidden)[:, 0].float())

"""A mixture of experts in which a gate chooses a few for each input (Shazeer et al. 2017)."""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F


class Experts(nn.Module):
    """Routing gate and experts, each a perceptron of two layers as wide as its input.

    The gate and the experts' last layers start at 0: to begin with nothing is added, and chance alone chooses.

    Args:
        width: of input and output.
        count: how many experts there are.
        active: how many of them are chosen for an input.
        noise: standard deviation of what is added to the gate's scores in training, so that no expert is left out
            before it has learnt anything.
    """

    def __init__(self, width: int, count: int, active: int, noise: float) -> None:
        super().__init__()
        self.active, self.noise = active, noise
        self.gate = nn.Linear(width, count)
        self.inner = nn.ModuleList(nn.Linear(width, width) for _ in range(count))
        self.outer = nn.ModuleList(nn.Linear(width, width) for _ in range(count))
        for layer in (self.gate, *self.outer):
            assert isinstance(layer, nn.Linear)
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)

    def route(self, x: Float[Tensor, "batch width"]) -> Float[Tensor, "batch experts"]:
        """Weights of the experts: softmax over the most relevant, exactly 0 for all others."""
        relevance = self.gate(x).float()
        if self.training and self.noise:
            relevance = relevance + self.noise * torch.randn_like(relevance)
        best = relevance.topk(self.active)
        return torch.zeros_like(relevance).scatter(1, best.indices, best.values.softmax(-1))

    def forward(
        self, x: Float[Tensor, "batch width"], routing: Float[Tensor, "batch experts"]
    ) -> Float[Tensor, "batch width"]:
        """The chosen experts' outputs, weighted.

        All experts run, and those not chosen count 0: on one vector an image they cost less than choosing would.
        """
        outputs = torch.stack([outer(F.gelu(inner(x))) for inner, outer in zip(self.inner, self.outer, strict=True)], 1)
        return (routing[..., None].to(outputs.dtype) * outputs).sum(1)


def imbalance(routing: Float[Tensor, "batch experts"]) -> Float[Tensor, ""]:
    """Squared coefficient of variation of the experts' shares, 0 where all are used alike (Shazeer et al. 2017)."""
    shares = routing.mean(0)
    return shares.var(correction=0) / shares.mean().square()

"""A mixture of experts in which a gate chooses a few for each input (Shazeer et al. 2017)."""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from zsad.parts.noise import normal_noise


class Experts(nn.Module):
    """Routing gate and experts, each an MLP of two layers as wide as its input.

    The gate and the last layers of the experts start at 0: at first the output is 0, and routing is random.

    Args:
        width: of input and output.
        count: number of experts.
        active: number of experts per input.
        noise: standard deviation of noise on the scores of the gate in training, so that every expert is trained.
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
        """Weights of the experts: softmax over the top k, exactly 0 for all others."""
        relevance = self.gate(x).float()
        if self.training and self.noise:
            relevance = relevance + self.noise * normal_noise(len(x), relevance.shape[1:], relevance)
        best = relevance.topk(self.active)
        return torch.zeros_like(relevance).scatter(1, best.indices, best.values.softmax(-1))

    def forward(
        self, x: Float[Tensor, "batch width"], routing: Float[Tensor, "batch experts"]
    ) -> Float[Tensor, "batch width"]:
        """The weighted outputs of the chosen experts.

        All experts are computed, with weight 0 for the others: for one vector per image this is cheaper than selection.
        """
        outputs = torch.stack([outer(F.gelu(inner(x))) for inner, outer in zip(self.inner, self.outer, strict=True)], 1)
        return (routing[..., None].to(outputs.dtype) * outputs).sum(1)


def imbalance(routing: Float[Tensor, "batch experts"]) -> Float[Tensor, ""]:
    """Squared coefficient of variation of the experts' shares, 0 where all are used equally (Shazeer et al. 2017)."""
    shares = routing.mean(0)
    return shares.var(correction=0) / shares.mean().square()

"""The gate's weights, and the mixture against a loop over the chosen experts."""

import pytest
import torch
from torch.nn import functional as F

from zsad.methods.wmoe_clip.experts import Experts, imbalance


def make(count: int = 8, active: int = 2, noise: float = 0.0) -> Experts:
    """With every parameter off its start."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        experts = Experts(6, count, active, noise)
        with torch.no_grad():
            for one in experts.parameters():
                one.add_(torch.randn_like(one))
    return experts


def inputs(batch: int = 50) -> torch.Tensor:
    return torch.randn(batch, 6, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize(("count", "active"), [(8, 2), (8, 1), (3, 3), (1, 1)])
@pytest.mark.parametrize("noise", [0.0, 1.0])
def test_exactly_k_experts_are_active_and_their_weights_sum_to_one(count: int, active: int, noise: float) -> None:
    routing = make(count, active, noise).train().route(inputs())
    assert (routing > 0).sum(1).tolist() == [active] * 50
    torch.testing.assert_close(routing.sum(1), torch.ones(50))


def test_the_mixture_is_that_of_the_chosen_experts() -> None:
    experts = make()
    x = inputs()
    mixed = experts(x, experts.route(x))
    for vector, ours in zip(x, mixed, strict=True):
        relevance = experts.gate(vector)
        chosen = relevance.argsort(descending=True)[:2]
        weights = relevance[chosen].softmax(0)
        outputs = torch.stack([experts.outer[n](F.gelu(experts.inner[n](vector))) for n in chosen.tolist()])
        torch.testing.assert_close(ours, weights @ outputs, rtol=1e-5, atol=1e-5)


def test_only_chosen_experts_learn() -> None:
    experts = make()
    x = inputs(1)
    routing = experts.route(x)
    experts(x, routing).sum().backward()
    for number, layer in enumerate(experts.outer):
        assert layer.weight.grad is not None
        assert (layer.weight.grad.abs().sum() > 0) == (routing[0, number] > 0)
    assert experts.gate.weight.grad is not None
    assert experts.gate.weight.grad.abs().sum() > 0


def test_noise_changes_the_choice_in_training_alone() -> None:
    experts = make(noise=3.0)
    x = inputs()
    quiet = experts.eval().route(x)
    torch.testing.assert_close(experts.route(x), quiet, rtol=0, atol=0)
    torch.testing.assert_close(make(noise=0.0).train().route(x), quiet, rtol=0, atol=0)
    assert ((experts.train().route(x) > 0) != (quiet > 0)).any()


def test_in_the_beginning_nothing_is_added_and_chance_chooses_evenly() -> None:
    experts = Experts(6, 8, 2, noise=1.0).train()
    torch.manual_seed(0)
    routing = experts.route(inputs(4000))
    assert experts(inputs(), experts.route(inputs())).abs().max() == 0
    torch.testing.assert_close((routing > 0).float().mean(0), torch.full((8,), 0.25), rtol=0, atol=0.04)


def test_imbalance_is_0_where_experts_share_alike() -> None:
    torch.testing.assert_close(imbalance(torch.eye(4)), torch.tensor(0.0))
    shares = torch.tensor([[1.0, 0.0, 0.0, 0.0]])
    torch.testing.assert_close(imbalance(shares), torch.tensor(3.0))

"""The gateway's weights and mixtures against equations 4 and 5 written out."""

import pytest
import torch
from torch import Tensor

from zsad.methods.acd_clip.gateway import Gateway

WIDTH, HIDDEN = 12, 6


def make(groups: int, per_state: bool) -> Gateway:
    torch.manual_seed(0)
    return Gateway(WIDTH, HIDDEN, groups, per_state=per_state)


def features(groups: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    visual = 3 * torch.randn(2, 9, WIDTH, generator=generator)
    return visual, torch.randn(2, groups, 2, WIDTH, generator=generator)


@pytest.mark.parametrize("groups", [2, 3, 6])
@pytest.mark.parametrize("per_state", [True, False])
def test_weights_of_each_state_lie_on_a_simplex(groups: int, per_state: bool) -> None:
    weights = make(groups, per_state).weights(features(groups)[0])
    assert weights.shape == (2, groups, 2)
    assert weights.min() > 0
    torch.testing.assert_close(weights.sum(1), torch.ones(2, 2))


@pytest.mark.parametrize("per_state", [True, False])
def test_images_and_states_have_their_own_weights(per_state: bool) -> None:
    weights = make(3, per_state).weights(features(3)[0])
    assert (weights[0] - weights[1]).abs().max() > 1e-3
    assert (weights[..., 0] - weights[..., 1]).abs().max() > 1e-3


@pytest.mark.parametrize("groups", [2, 3])
@pytest.mark.parametrize("per_state", [True, False])
def test_the_mixture_equals_equations_4_and_5_written_out(groups: int, per_state: bool) -> None:
    gateway, (visual, texts) = make(groups, per_state), features(groups)
    fused = gateway(visual, texts)
    assert len(gateway.gates) == (2 if per_state else 1)
    for image in range(2):
        context = sum(visual[image, cell] for cell in range(9)) / 9
        for state in range(2):
            gate = gateway.gates[state if per_state else 0]
            hidden = gate[0].weight @ context + gate[0].bias
            hidden = hidden * (1 + torch.erf(hidden / 2**0.5)) / 2  # GELU
            outputs = gate[2].weight @ hidden + gate[2].bias
            logits = [outputs[level if per_state else 2 * level + state].exp() for level in range(groups)]
            expected = sum(logits[level] / sum(logits) * texts[image, level, state] for level in range(groups))
            torch.testing.assert_close(fused[image, state], expected)


def test_a_level_that_the_gate_is_sure_of_is_the_text() -> None:
    gateway, (visual, texts) = make(3, True), features(3)
    with torch.no_grad():
        gateway.gates[0][2].bias.copy_(torch.tensor([0.0, 100.0, 0.0]))
        gateway.gates[1][2].bias.copy_(torch.tensor([0.0, 0.0, 100.0]))
    fused = gateway(visual, texts)
    torch.testing.assert_close(fused[:, 0], texts[:, 1, 0])
    torch.testing.assert_close(fused[:, 1], texts[:, 2, 1])


def test_weights_are_fp32_in_a_half_precision_gateway() -> None:
    visual, texts = features(2)
    half = make(2, False).to(torch.bfloat16)
    fused = half(visual, texts)
    assert half.weights(visual).dtype == fused.dtype == torch.float32
    torch.testing.assert_close(fused, make(2, False)(visual, texts), rtol=0, atol=0.05)

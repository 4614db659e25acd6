"""CMFR against equations 3-6 written out, pair by pair."""

import torch

from zsad.methods.afr_clip.rectification import Rectification


def example() -> tuple[Rectification, torch.Tensor, torch.Tensor]:
    torch.manual_seed(0)
    return Rectification(6), torch.randn(2, 5, 6), torch.randn(2, 6)


def test_every_patch_is_rectified_as_the_equations_say() -> None:
    rectification, visual, text = example()
    rectified = rectification(visual, text)
    for image in range(2):
        for cell in range(5):
            pair = torch.cat([visual[image, cell], text[image]])
            weights = rectification.last(rectification.second(rectification.first(pair).relu()).sigmoid())
            torch.testing.assert_close(rectified[image, cell], text[image] + visual[image, cell] * weights)


def test_weights_of_zero_leave_the_text() -> None:
    rectification, visual, text = example()
    with torch.no_grad():
        rectification.last.weight.zero_()
        rectification.last.bias.zero_()
    torch.testing.assert_close(rectification(visual, text), text[:, None].expand(-1, 5, -1), rtol=0, atol=0)


def test_it_starts_as_one_gate_for_all_cells_and_reaches_every_parameter() -> None:
    torch.manual_seed(0)
    rectification = Rectification(64)
    weights = rectification.weights(torch.randn(2, 9, 64), torch.randn(2, 64))
    overall, over_cells = float(weights.detach().std()), float(weights.detach().std(1).mean())
    assert 0.1 < overall < 0.6
    assert 0 < over_cells < 0.2 * overall
    weights.square().sum().backward()
    assert all(one.grad is not None and one.grad.abs().sum() > 0 for one in rectification.parameters())

"""The shared losses against their formulas written out."""

import math

import pytest
import torch

from zsad.parts.losses import dice, focal, image_cross_entropy, upsample


def test_focal_is_the_published_formula() -> None:
    maps, masks = torch.tensor([[[0.2, 0.9]]]), torch.tensor([[[0.0, 1.0]]])
    expected = 0.0
    for right in (0.8, 0.9):
        smoothed = right * (1 - 1e-5) + (1 - right) * 1e-5 + 1e-5
        expected -= (1 - smoothed) ** 2 * math.log(smoothed) / 2
    torch.testing.assert_close(focal(maps, masks), torch.tensor(expected))


def test_focal_is_finite_and_smooth_at_certainty() -> None:
    maps = torch.tensor([[[0.0, 1.0, 0.0, 1.0]]], requires_grad=True)
    loss = focal(maps, torch.tensor([[[0.0, 1.0, 1.0, 0.0]]]))
    loss.backward()
    assert loss.isfinite()
    assert maps.grad is not None
    assert maps.grad.isfinite().all()


def test_dice_of_each_image_is_averaged() -> None:
    maps = torch.tensor([[[0.5, 0.25]], [[1.0, 0.0]]])
    masks = torch.tensor([[[1.0, 0.0]], [[0.0, 0.0]]])
    expected = ((1 - 2 / 2.75) + (1 - 1 / 2)) / 2
    torch.testing.assert_close(dice(maps, masks), torch.tensor(expected))
    torch.testing.assert_close(dice(torch.zeros(1, 2, 2), torch.zeros(1, 2, 2)), torch.tensor(0.0))


@pytest.mark.parametrize("score", [0.0, 1.0])
def test_cross_entropy_is_finite_at_certainty(score: float) -> None:
    assert image_cross_entropy(torch.tensor([score]), torch.tensor([1.0 - score])).isfinite()
    assert image_cross_entropy(torch.tensor([score]), torch.tensor([score])) < 1e-5


def test_enlarging_with_aligned_corners_keeps_the_corners() -> None:
    maps = torch.rand(2, 3, 4, 5)
    large = upsample(maps, torch.zeros(2, 16, 20), align_corners=True)
    assert large.shape == (2, 3, 16, 20)
    torch.testing.assert_close(large[..., 0, 0], maps[..., 0, 0])
    torch.testing.assert_close(large[..., -1, -1], maps[..., -1, -1])


def test_cross_entropy_of_what_is_no_number_is_none_and_does_not_raise() -> None:
    score = torch.tensor([0.5, float("nan")], requires_grad=True)
    assert image_cross_entropy(score, torch.tensor([0.0, 1.0])).isnan()

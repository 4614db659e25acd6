"""Noise of a part of a batch is that of the batch, and the generator goes on as in one process."""

import torch

from zsad.parts.noise import normal_noise, part_of_batch


def test_a_part_has_the_numbers_of_the_batch() -> None:
    like = torch.zeros(1, dtype=torch.float64)
    torch.manual_seed(3)
    whole, after = torch.randn(5, 2, 3, dtype=torch.float64), torch.randn(2)
    for first, images in ((0, 5), (0, 3), (3, 2)):
        torch.manual_seed(3)
        with part_of_batch(first, 5):
            drawn = normal_noise(images, (2, 3), like)
        assert torch.equal(drawn, whole[first : first + images])
        assert torch.equal(torch.randn(2), after)
    torch.manual_seed(3)
    assert torch.equal(normal_noise(5, (2, 3), like), whole)

"""The convolutions before a hybrid tower are those of EfficientNet-Lite0."""

import pytest
import torch
from torch.nn import functional as F

from zsad.backbones.stem import EARLY, MIDDLE, STAGES, Stem
from zsad.tools.pretrain.stem import fill
from zsad.tools.pretrain.teacher import Teacher


@pytest.fixture(scope="module")
def stem() -> Stem:
    torch.manual_seed(0)
    return fill(Stem(24), Teacher()).eval()


@pytest.mark.parametrize("size", [(64, 64), (96, 64), (224, 224)])
def test_features_are_those_of_the_published_network(stem: Stem, size: tuple[int, int]) -> None:
    """The oracle is the package that the weights come from, batch norms not folded."""
    images = torch.rand(2, 3, *size)
    with torch.no_grad():
        found, theirs = stem.features(2 * images - 1), Teacher()(images)
    early, middle = STAGES[EARLY].channels, STAGES[MIDDLE].channels
    torch.testing.assert_close(found[:, :early], theirs.early, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(found[:, early : early + middle], theirs.middle, rtol=1e-4, atol=2e-4)
    grid = size[0] // 16, size[1] // 16
    deep = F.interpolate(theirs.deep, grid, mode="bilinear", align_corners=False)
    torch.testing.assert_close(found[:, early + middle :], deep, rtol=1e-4, atol=2e-4)


def test_what_is_left_over_beyond_whole_patches_is_not_looked_at(stem: Stem) -> None:
    images = torch.rand(1, 3, 79, 71)
    with torch.no_grad():
        torch.testing.assert_close(stem(images), stem(images[..., :64, :64]), rtol=0, atol=0)
        assert stem(images).shape == (1, 24, 4, 4)

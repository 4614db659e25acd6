"""Enlarging and smoothing of maps, against SciPy and by their properties."""

import math
from dataclasses import asdict, dataclass, field

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional as F

from zsad.errors import ConfigError
from zsad.methods._base import Config
from zsad.parts.maps import resize, smooth, smooth_within
from zsad.scoring import anomaly_maps, image_scores, maps_of_images
from zsad.types import Evidence, Size

ndimage = pytest.importorskip("scipy.ndimage", reason="the oracle of smoothing is SciPy")


@dataclass(frozen=True)
class Listed(Config):
    """A configuration that cannot be hashed, as those of some methods."""

    of_classes: dict[str, str] = field(default_factory=dict)


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


def assert_equals_scipy(maps: Tensor, sigma: float) -> None:
    smoothed = smooth(maps, sigma)
    assert smoothed.shape == maps.shape
    for ours, original in zip(smoothed, maps, strict=True):
        expected = ndimage.gaussian_filter(original.numpy().astype(np.float64), sigma, mode="reflect")
        np.testing.assert_allclose(ours.numpy(), expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("sigma", [0.1, 0.5, 1.0, 1.625, 4.0, 8.0])
@pytest.mark.parametrize("size", [(40, 40), (24, 61), (100, 33)])
def test_smoothing_equals_scipy(size: Size, sigma: float) -> None:
    assert_equals_scipy(noise(2, *size), sigma)


@pytest.mark.parametrize("size", [(1, 1), (1, 7), (2, 2), (3, 50), (5, 4)])
def test_smoothing_of_maps_smaller_than_the_filter_equals_scipy(size: Size) -> None:
    assert_equals_scipy(noise(2, *size), 4.0)


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 30), st.integers(1, 30), st.floats(0.05, 12), st.integers(0, 99))
def test_smoothing_equals_scipy_at_any_size(rows: int, cols: int, sigma: float, seed: int) -> None:
    assert_equals_scipy(noise(1, rows, cols, seed=seed), sigma)


def test_sigma_0_changes_nothing() -> None:
    maps = noise(1, 9, 9)
    torch.testing.assert_close(smooth(maps, 0), maps, rtol=0, atol=0)


@pytest.mark.parametrize("value", [0.0, 0.25, 1.0])
def test_constant_maps_stay_constant(value: float) -> None:
    maps = torch.full((1, 1, 5, 6), value)
    fused = anomaly_maps(Evidence(maps, torch.zeros(1)), (37, 53), Config(sigma=4.0))
    torch.testing.assert_close(fused, torch.full((1, 37, 53), value), rtol=0, atol=1e-6)


def test_maps_stay_in_range() -> None:
    extremes = (noise(4, 3, 8, 8) > 0.5).float()
    for size, sigma in (((8, 8), 0.0), ((50, 61), 4.0), ((5, 3), 1.0), ((8, 8), 0.4)):
        fused = anomaly_maps(Evidence(extremes, torch.zeros(4)), size, Config(sigma=sigma))
        assert fused.min() >= 0
        assert fused.max() <= 1


def test_each_map_is_smoothed_by_itself() -> None:
    maps = noise(3, 20, 20)
    together = smooth(maps, 2.0)
    for number in range(3):
        torch.testing.assert_close(smooth(maps[number : number + 1], 2.0)[0], together[number], rtol=1e-6, atol=1e-7)


def test_levels_are_averaged() -> None:
    maps = noise(2, 3, 6, 5)
    fused = anomaly_maps(Evidence(maps, torch.zeros(2)), (6, 5), Config(sigma=0.0))
    torch.testing.assert_close(fused, (maps[:, 0] + maps[:, 1] + maps[:, 2]) / 3)


def test_low_precision_evidence_is_fused_in_fp32() -> None:
    fused = anomaly_maps(Evidence(noise(1, 2, 4, 4).bfloat16(), torch.zeros(1)), (16, 16), Config(sigma=2.0))
    assert fused.dtype == torch.float32


def test_enlarging_is_bilinear_between_pixel_centres() -> None:
    enlarged = resize(torch.tensor([[[0.0, 1.0]]]), (1, 8))[0, 0]
    torch.testing.assert_close(enlarged, torch.tensor([0, 0, 0.125, 0.375, 0.625, 0.875, 1, 1]))


def test_enlarging_equals_pytorch() -> None:
    maps = noise(2, 5, 7)
    expected = F.interpolate(maps[:, None], (20, 31), mode="bilinear", align_corners=False)[:, 0]
    torch.testing.assert_close(resize(maps, (20, 31)), expected, rtol=0, atol=0)


def test_the_same_size_changes_nothing() -> None:
    maps = noise(2, 5, 7)
    torch.testing.assert_close(resize(maps, (5, 7)), maps, rtol=0, atol=1e-7)


@pytest.mark.parametrize("size", [(8, 8), (8, 64), (4, 80)])
def test_shrinking_averages_and_loses_no_small_defect(size: Size) -> None:
    maps = torch.zeros(1, 64, 64)
    maps[0, 33, 33] = 1
    small = resize(maps, size)
    assert small.max() > 0
    torch.testing.assert_close(small.mean(), maps.mean(), rtol=0.1, atol=0)


def test_a_blob_stays_where_it_is() -> None:
    maps = torch.zeros(1, 1, 10, 10)
    maps[0, 0, 2, 7] = 1
    fused = anomaly_maps(Evidence(maps, torch.zeros(1)), (100, 200), Config(sigma=4.0))[0]
    row, col = divmod(int(fused.argmax()), 200)
    assert abs(row - 24.5) <= 1
    assert abs(col - 149.5) <= 1


@pytest.mark.parametrize("size", [(150, 150), (97, 53), (100, 300), (333, 223), (64, 64), (1, 1)])
def test_a_saturated_map_stays_in_range_at_every_size(size: tuple[int, int]) -> None:
    resized = resize(torch.ones(1, 224, 224), size)
    assert float(resized.max()) <= 1
    torch.testing.assert_close(resized, torch.ones(1, *size))


# How a method says that its maps are enlarged and smoothed.


def aligned(plane: np.ndarray, size: Size) -> np.ndarray:
    """Bilinear with the corners' centres on the border, one axis after the other."""
    rows, cols = (np.linspace(0, there - 1, here) for here, there in zip(size, plane.shape, strict=True))
    wide = np.stack([np.interp(cols, np.arange(plane.shape[1]), row) for row in plane])
    return np.stack([np.interp(rows, np.arange(plane.shape[0]), column) for column in wide.T], 1)


@pytest.mark.parametrize("size", [(24, 32), (35, 20)])
def test_aligned_corners(size: Size) -> None:
    maps = noise(2, 2, 6, 5)
    fused = anomaly_maps(Evidence(maps, torch.zeros(2)), size, Config(sigma=0.0, align_corners=True))
    for ours, levels in zip(fused, maps, strict=True):
        np.testing.assert_allclose(ours.numpy(), aligned(levels.mean(0).numpy(), size), rtol=0, atol=1e-5)
    torch.testing.assert_close(fused[:, -1, -1], maps[:, :, -1, -1].mean(1))


@pytest.mark.parametrize(("sigma", "window", "truncate"), [(1.0, 7, 3.0), (1.5, 9, 2.67), (0.5, 3, 2.0)])
@pytest.mark.parametrize("size", [(37, 37), (9, 5), (6, 12)])
def test_smoothing_on_the_grid_equals_scipy(size: Size, sigma: float, window: int, truncate: float) -> None:
    """SciPy's "mirror" repeats no edge, as Kornia's "reflect"."""
    grid = 6 * torch.randn(2, 2, *size, generator=torch.Generator().manual_seed(0))
    ours = smooth_within(grid, sigma, window).numpy()
    for image, levels in enumerate(grid.numpy().astype(np.float64)):
        for level, plane in enumerate(levels):
            expected = ndimage.gaussian_filter(plane, sigma, mode="mirror", truncate=truncate)
            np.testing.assert_allclose(ours[image, level], expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("size", [(1, 1), (1, 4), (2, 2), (3, 2)])
def test_smoothing_on_a_grid_smaller_than_the_window_keeps_its_mean(size: Size) -> None:
    constant = torch.full((1, 1, *size), 2.5)
    torch.testing.assert_close(smooth_within(constant, 1.0, 7), constant)
    torch.testing.assert_close(smooth_within(noise(1, 1, *size), 0.0, 7), noise(1, 1, *size), rtol=0, atol=0)


def test_log_odds_are_enlarged_before_they_become_probabilities() -> None:
    logits = 8 * torch.randn(1, 2, 5, 4, generator=torch.Generator().manual_seed(1))
    evidence = Evidence(logits.sigmoid(), torch.zeros(1), logits=logits)
    fused = anomaly_maps(evidence, (40, 32), Config(sigma=8.0, align_corners=True, smoothing_window=7))
    expected = np.zeros((40, 32))
    for plane in logits[0].numpy().astype(np.float64):
        blurred = ndimage.gaussian_filter(plane, 1.0, mode="mirror", truncate=3.0)  # 8 px are one cell of 8 px
        expected += 1 / (1 + np.exp(-aligned(blurred, (40, 32)))) / 2
    np.testing.assert_allclose(fused[0].numpy(), expected, rtol=0, atol=1e-5)


def test_log_odds_beyond_the_precision_of_probabilities_are_enlarged() -> None:
    logits = torch.tensor([[[[-300.0, 300.0]]]])
    fused = anomaly_maps(Evidence(logits.sigmoid(), torch.zeros(1), logits=logits), (1, 9), Config(sigma=0.0))
    assert fused.isfinite().all()
    assert (fused[0, 0, 0], fused[0, 0, 4], fused[0, 0, -1]) == (0, 0.5, 1)


@pytest.mark.parametrize("window", [0, 4, -1])
def test_a_window_without_a_middle_is_refused(window: int) -> None:
    with pytest.raises(ConfigError, match=f"the window of a Gaussian has an odd side; got {window}"):
        Config(smoothing_window=window)


@pytest.mark.parametrize(
    "config",
    [
        Config(sigma=0.0),
        Config(sigma=4.0),
        Config(sigma=6.5, align_corners=True),
        Config(sigma=8.0, smoothing_window=7),
    ],
)
@pytest.mark.parametrize("sizes", [((40, 40), (40, 40)), ((100, 37), (5, 3)), ((17, 64), (1, 1)), ((4, 40), (9, 200))])
@pytest.mark.parametrize("levels", [1, 3])
@pytest.mark.parametrize("logits", [False, True])
def test_maps_at_the_sizes_of_images_are_enlarged_smoothed_and_resized(
    config: Config, sizes: tuple[Size, Size], levels: int, logits: bool
) -> None:
    config = Listed(**asdict(config))
    maps = noise(2, levels, 6, 6)
    evidence = Evidence(maps, torch.zeros(2), logits=(8 * maps - 4) if logits else None)
    found = maps_of_images(evidence, 40, config, sizes)
    assert [tuple(each.shape) for each in found] == list(sizes)
    for ours, whole, size in zip(found, anomaly_maps(evidence, (40, 40), config), sizes, strict=True):
        torch.testing.assert_close(ours, resize(whole[None], size)[0], rtol=0, atol=2e-6)


def test_an_image_is_scored_by_its_method_its_map_or_both() -> None:
    levels = torch.tensor([[[[0.1, 0.2], [0.3, 0.4]], [[0.3, 0.4], [0.5, 0.8]]]])  # mean: .2 .3 .4 .6
    evidence = Evidence(levels, torch.tensor([0.9]))
    upper = (0.6 + 0.4) / 2
    both = 1 / (1 + math.exp(-(math.log(0.9 / 0.1) + math.log(upper / (1 - upper))) / 2))
    for source, expected in (("method", 0.9), ("map", upper), ("both", both)):
        config = Config(image_score=source, map_share=0.5)  # type: ignore[arg-type]
        assert float(image_scores(evidence, config)) == pytest.approx(expected, abs=1e-6)
    assert float(image_scores(evidence, Config(image_score="map", map_share=0.01))) == pytest.approx(0.6)


def test_a_share_of_the_map_is_a_share() -> None:
    with pytest.raises(ConfigError, match="share of a map that scores an image"):
        Config(map_share=0.0)

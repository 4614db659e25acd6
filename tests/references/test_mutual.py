"""Mutual scoring and the features of towers, against loops that are written out."""

import math

import pytest
import torch
from torch import Tensor

from tests import small
from zsad.backbones.config import get
from zsad.backbones.stem import Stem
from zsad.backbones.vision import VisionTower
from zsad.errors import ConfigError, InputError
from zsad.references import (
    ReferenceBank,
    distances_by_image,
    has_cnn,
    level_widths,
    lowest_share_mean,
    mutual,
    mutual_scores,
    patch_features,
    tower_features,
)

ROWS, COLS = 3, 4


def levels(images: int, widths: tuple[int, ...] = (5, 7), seed: int = 0) -> list[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(images, width, ROWS, COLS, generator=generator) for width in widths]


def mean_around(level: Tensor, row: int, col: int, side: int) -> Tensor:
    total, half = torch.zeros(level.shape[0], dtype=torch.float64), side // 2
    for r in range(row - half, row + half + 1):
        for c in range(col - half, col + half + 1):
            if 0 <= r < ROWS and 0 <= c < COLS:
                total += level[:, r, c].double()
    return total / side**2


def written_out(of_levels: list[Tensor], sides: tuple[int, ...], share: float, distance: str) -> list[list[float]]:
    """Scores [images][cells]: each distance by itself."""
    images, cells = len(of_levels[0]), [(row, col) for row in range(ROWS) for col in range(COLS)]
    scores = [[0.0] * len(cells) for _ in range(images)]
    for level in of_levels:
        for side in sides:
            units = [[mean_around(image, *cell, side) for cell in cells] for image in level]
            units = [[vector / vector.norm() for vector in image] for image in units]
            for image in range(images):
                for cell in range(len(cells)):
                    nearest = sorted(
                        min(float((units[image][cell] - other).norm()) / 2 for other in units[judge])
                        for judge in range(images)
                        if judge != image
                    )
                    if distance == "cosine":  # (1 - cos) / 2 is the square of |a - b| / 2
                        nearest = [value**2 for value in nearest]
                    counted = nearest[: math.ceil(share * (images - 1) - 1e-9)]
                    scores[image][cell] += sum(counted) / len(counted) / (len(of_levels) * len(sides))
    return scores


@pytest.mark.parametrize(
    ("images", "sides", "share", "distance"),
    [(2, (1,), 0.3, "euclidean"), (5, (1, 3), 0.3, "euclidean"), (5, (3, 5), 0.75, "cosine"), (4, (1,), 1, "cosine")],
)
def test_mutual_scores_are_those_of_the_equations(
    images: int, sides: tuple[int, ...], share: float, distance: str
) -> None:
    scores = mutual_scores(levels(images), sides, share=share, distance=distance)  # type: ignore[arg-type]
    assert scores.shape == (images, ROWS, COLS)
    expected = torch.tensor(written_out(levels(images), sides, share, distance)).unflatten(1, (ROWS, COLS))
    torch.testing.assert_close(scores, expected.float(), rtol=0, atol=1e-6)


def test_mutual_scores_are_those_of_a_bank_that_leaves_each_image_out() -> None:
    features = patch_features(levels(6), (1, 3))
    bank = ReferenceBank(tuple(stream.shape[-1] for stream in features.streams))
    bank.add(features)
    distances = distances_by_image(features, bank, distance="euclidean", without=range(6))
    expected = lowest_share_mean(distances, 0.4).unflatten(1, (ROWS, COLS))
    torch.testing.assert_close(mutual_scores(levels(6), (1, 3), share=0.4), expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("room", [1, 2 * 144, 3 * 144 + 1])
def test_scores_do_not_depend_on_what_is_held_at_once(room: int, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = mutual_scores(levels(7), (1, 3))
    monkeypatch.setattr(mutual, "MAX_SIMILARITIES", room)
    torch.testing.assert_close(mutual_scores(levels(7), (1, 3)), whole, rtol=0, atol=1e-6)


def test_scores_follow_the_order_of_the_images() -> None:
    order = [3, 0, 4, 1, 2]
    moved = mutual_scores([level[order] for level in levels(5)], (1, 3))
    torch.testing.assert_close(moved, mutual_scores(levels(5), (1, 3))[order], rtol=0, atol=1e-6)


def test_copies_have_nothing_that_sets_them_apart() -> None:
    copies = [level[:1].repeat(4, 1, 1, 1) for level in levels(1)]
    assert mutual_scores(copies, (1, 3)).amax() < 1e-3


def test_half_precision_changes_little() -> None:
    halves = [level.half() for level in levels(6, (48, 64))]
    scores = mutual_scores(halves, (1, 3))
    assert scores.dtype == torch.float32
    torch.testing.assert_close(scores, mutual_scores(levels(6, (48, 64)), (1, 3)), rtol=0, atol=1e-4)


def test_one_image_has_no_mutual_score() -> None:
    with pytest.raises(ConfigError, match="score one another"):
        mutual_scores(levels(1))


# --- towers ---


def hybrid() -> VisionTower:
    torch.manual_seed(0)
    return VisionTower(get("tiny")).eval()


@torch.no_grad()
def test_blocks_are_counted_as_the_papers_do() -> None:
    vision, images = small.frozen().vision, small.images(2, 24, 40)
    found = tower_features(vision, images, (6, 24))
    trace = vision(images, keep=[0, 3])
    assert level_widths(vision, (6, 24)) == (32, 32)
    for level, block in zip(found.levels, (0, 3), strict=True):
        assert level.shape == (2, 32, 3, 5)
        for row in range(3):
            for col in range(5):
                assert torch.equal(level[:, :, row, col], trace.kept[block][:, 1 + 5 * row + col])
    assert torch.equal(found.class_token, vision.project(trace.last[:, 0]))


@torch.no_grad()
def test_a_hybrid_gives_the_stages_of_its_cnn() -> None:
    vision = hybrid()
    stem = vision.patch_embedding
    assert isinstance(stem, Stem)
    stem.mean.normal_()
    stem.deviation.uniform_(0.5, 2)
    images = torch.randn(2, 3, 64, 96, generator=torch.Generator().manual_seed(1))
    found = tower_features(vision, images, (6, 12))
    assert [tuple(level.shape) for level in found.levels] == [(2, 40, 4, 6), (2, 112, 4, 6), (2, 320, 4, 6)]
    assert level_widths(vision, (6, 12)) == (40, 112, 320)
    together = (stem.features(images) - stem.mean[:, None, None]) / stem.deviation[:, None, None]
    torch.testing.assert_close(torch.cat(found.levels, 1), together, rtol=0, atol=0)
    torch.testing.assert_close(found.class_token, vision.project(vision(images).last[:, 0]), rtol=0, atol=0)


@torch.no_grad()
def test_the_blocks_of_a_hybrid_can_be_asked_for() -> None:
    vision, images = hybrid(), torch.randn(1, 3, 32, 48, generator=torch.Generator().manual_seed(1))
    found = tower_features(vision, images, (24,), "blocks")
    expected = vision(images).last[:, 1:]
    torch.testing.assert_close(found.levels[0].flatten(2).mT, expected, rtol=0, atol=0)
    assert not has_cnn(vision, "blocks")
    assert has_cnn(vision, "cnn")


def test_what_a_tower_does_not_have_is_refused() -> None:
    with pytest.raises(ConfigError, match="hybrid"):
        tower_features(small.frozen().vision, small.images(1), (6,), "cnn")
    with pytest.raises(InputError, match="2×2 patches"):
        tower_features(hybrid(), torch.zeros(1, 3, 16, 64), (6,))

"""The machinery of references against loops that are written out."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from zsad.errors import ConfigError
from zsad.references import (
    PatchFeatures,
    RandomProjection,
    ReferenceBank,
    distances_among,
    distances_by_image,
    greedy_coreset,
    lowest_share_mean,
    nearest_distance,
    neighbourhood_average,
    patch_features,
    rotations,
    similarity_smoothed_scores,
    statistics,
)

ROWS, COLS, WIDTHS = 3, 4, (5, 7)


def levels(images: int, seed: int = 0) -> list[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(images, width, ROWS, COLS, generator=generator) for width in WIDTHS]


def filled(images: int, seed: int = 1) -> tuple[ReferenceBank, PatchFeatures]:
    bank, features = ReferenceBank(WIDTHS), patch_features(levels(images, seed))
    bank.add(features)
    return bank, features


# --- features ---


@pytest.mark.parametrize("side", [1, 3, 5])
def test_a_neighbourhood_is_averaged_with_zeros_outside(side: int) -> None:
    (features,) = (level.double() for level in levels(2)[:1])
    averaged = neighbourhood_average(features, side)
    half = side // 2
    for row in range(ROWS):
        for col in range(COLS):
            total = torch.zeros(2, WIDTHS[0], dtype=torch.float64)
            for r in range(row - half, row + half + 1):
                for c in range(col - half, col + half + 1):
                    if 0 <= r < ROWS and 0 <= c < COLS:
                        total += features[:, :, r, c]
            torch.testing.assert_close(averaged[:, :, row, col], total / side**2)


@pytest.mark.parametrize("side", [0, 2, 33])
def test_a_neighbourhood_has_an_odd_side(side: int) -> None:
    with pytest.raises(ConfigError, match="neighbourhood"):
        neighbourhood_average(levels(1)[0], side)


def test_streams_are_levels_then_neighbourhoods_of_unit_length() -> None:
    images = levels(2)
    features = patch_features(images, (1, 3))
    assert features.grid == (ROWS, COLS)
    assert [tuple(stream.shape) for stream in features.streams] == [
        (2, 12, 5),
        (2, 12, 5),
        (2, 12, 7),
        (2, 12, 7),
    ]
    for stream in features.streams:
        torch.testing.assert_close(stream.norm(dim=-1), torch.ones(2, 12))
    patch = images[1][1, :, 2, 1]
    torch.testing.assert_close(features.streams[2][1, 2 * COLS + 1], patch / patch.norm())


def test_an_image_is_normalised_over_all_of_its_features() -> None:
    (image,) = levels(1)[:1]
    plain = patch_features([(image - image.mean()) / torch.sqrt(image.var(unbiased=False) + 1e-5)])
    normalised = patch_features([3 * image + 2], normalise_image=True)
    torch.testing.assert_close(normalised.streams[0], plain.streams[0], rtol=1e-4, atol=1e-5)


def test_a_projection_is_orthogonal_and_of_its_seed() -> None:
    project = RandomProjection(64, 16, seed=3)
    torch.testing.assert_close(project.directions.mT @ project.directions, torch.eye(16), atol=1e-5, rtol=0)
    assert torch.equal(project.directions, RandomProjection(64, 16, seed=3).directions)
    assert not torch.equal(project.directions, RandomProjection(64, 16, seed=4).directions)
    whole = RandomProjection(8, 8)
    a, b = torch.randn(2, 8)
    torch.testing.assert_close(whole(a) @ whole(b), a @ b)


def test_rotations_begin_with_the_image_and_turn_it_round() -> None:
    images = torch.rand(2, 3, 8, 8)
    turned = rotations(images, 4)
    assert torch.equal(turned[0], images)
    torch.testing.assert_close(turned[2], images.flip(-1).flip(-2), atol=1e-5, rtol=0)
    for quarter in (turned[1], turned[3]):
        assert any(torch.allclose(quarter, torch.rot90(images, k, (-2, -1)), atol=1e-5) for k in (1, 3))
    assert not torch.allclose(turned[1], turned[3])


def test_what_comes_in_from_outside_has_the_median_colour() -> None:
    images = torch.full((1, 3, 9, 9), 0.25)
    images[:, :, 4, 4] = 1.0
    eighth = rotations(images, 8)[1]
    torch.testing.assert_close(eighth[0, :, 0, 0], torch.full((3,), 0.25))
    assert eighth[0, 0, 4, 4] > 0.9


# --- bank ---


def test_a_bank_knows_image_and_position_of_each_entry() -> None:
    bank, features = filled(3)
    assert (len(bank), bank.images) == (36, 3)
    for image in range(3):
        for row in range(ROWS):
            for col in range(COLS):
                entry = image * 12 + row * COLS + col
                assert (int(bank.image[entry]), bank.position[entry].tolist()) == (image, [row, col])
                for stream, ours in zip(features.streams, bank.streams, strict=True):
                    assert torch.equal(ours[entry], stream[image, row * COLS + col])


def test_copies_are_one_image_and_later_images_count_on() -> None:
    bank = ReferenceBank(WIDTHS)
    bank.add(patch_features(levels(4)), copies=2)
    bank.add(patch_features(levels(1)))
    assert bank.image.unique(return_counts=True)[1].tolist() == [24, 24, 12]
    bank.keep(torch.tensor([30, 2]))
    assert (bank.image.tolist(), bank.images, bank.entries_by_image()) == ([0, 1], 3, [1, 1, 0])
    bank.clear()
    assert (len(bank), bank.images) == (0, 0)


def test_a_bank_is_saved_and_loaded_with_all_its_entries() -> None:
    bank, _ = filled(3)
    other = ReferenceBank(WIDTHS)
    other.load_state_dict(bank.state_dict())
    for ours, theirs in zip(bank.buffers(), other.buffers(), strict=True):
        assert torch.equal(ours, theirs)


def test_features_of_other_streams_are_refused() -> None:
    bank = ReferenceBank((5,))
    with pytest.raises(ConfigError, match=r"\(5, 7\) for \(5,\)"):
        bank.add(patch_features(levels(1)))


# --- statistics ---


def distance(a: Tensor, b: Tensor, kind: str) -> float:
    cosine = float(a.double() @ b.double())
    return (1 - cosine) / 2 if kind == "cosine" else float((a.double() - b.double()).norm()) / 2


@pytest.mark.parametrize("kind", ["cosine", "euclidean"])
@pytest.mark.parametrize("window", [None, 0, 1])
@pytest.mark.parametrize("chunk", [2**24, 24 * 5, 1])
def test_the_distance_from_an_image_is_that_of_its_most_similar_entry(
    kind: statistics.Distance, window: int | None, chunk: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(statistics, "MAX_SIMILARITIES", chunk)
    bank, references = filled(3)
    features = patch_features(levels(2, seed=9))
    distances = distances_by_image(features, bank, distance=kind, window=window)
    assert distances.shape == (2, 2, 3, 12)
    for number, (stream, entries) in enumerate(zip(features.streams, references.streams, strict=True)):
        for image in range(2):
            for reference in range(3):
                for cell in range(12):
                    near = [
                        other
                        for other in range(12)
                        if window is None
                        or max(abs(cell // COLS - other // COLS), abs(cell % COLS - other % COLS)) <= window
                    ]
                    expected = min(distance(stream[image, cell], entries[reference, other], kind) for other in near)
                    assert float(distances[number, image, reference, cell]) == pytest.approx(expected, abs=2e-4)


@pytest.mark.parametrize("kind", ["cosine", "euclidean"])
@pytest.mark.parametrize("window", [None, 0, 1])
@pytest.mark.parametrize("copies", [1, 2])
def test_images_of_a_bank_are_compared_with_the_others(
    kind: statistics.Distance, window: int | None, copies: int
) -> None:
    bank = ReferenceBank(WIDTHS)
    bank.add(patch_features(levels(6 * copies, 3)), copies)
    bank = bank.without([2])
    images = [4, 0, 3]
    found = distances_among(bank, images, distance=kind, window=window)
    assert found.shape == (2, 3, 6, ROWS * COLS)
    for row, image in enumerate(images):
        expected = distances_by_image(bank.patches_of(image), bank, distance=kind, window=window, without=[image])
        torch.testing.assert_close(found[:, row], expected[:, 0], rtol=0, atol=1e-3 if kind == "euclidean" else 1e-6)
        assert found[:, row, [2, image]].isinf().all()


def test_the_nearest_is_of_the_whole_bank_and_streams_are_averaged() -> None:
    bank, _ = filled(3)
    distances = distances_by_image(patch_features(levels(2, seed=9)), bank)
    expected = (distances[0].amin(1) + distances[1].amin(1)) / 2
    torch.testing.assert_close(nearest_distance(distances), expected)


@pytest.mark.parametrize(
    ("images", "share", "number"), [(2, 0.3, 1), (4, 0.3, 1), (5, 0.3, 2), (11, 0.3, 3), (5, 1, 4)]
)
def test_mutual_scoring_is_the_mean_of_the_lowest_share_without_oneself(images: int, share: float, number: int) -> None:
    bank, features = filled(images)
    scores = lowest_share_mean(distances_by_image(features, bank, without=range(images)), share)
    distances = distances_by_image(features, bank)
    for image in range(images):
        for cell in range(12):
            streams = []
            for stream in range(2):
                others = [float(distances[stream, image, other, cell]) for other in range(images) if other != image]
                streams.append(sum(sorted(others)[:number]) / number)
            assert float(scores[image, cell]) == pytest.approx(sum(streams) / 2, abs=1e-6)


def test_images_that_are_not_in_the_bank_are_compared_with_all() -> None:
    bank, features = filled(3)
    distances = distances_by_image(features, bank, without=[None, 2, None])
    assert distances[:, 1, 2].isinf().all()
    assert distances.isinf().sum() == 2 * 12
    assert nearest_distance(distances)[0].amax() < 1e-3


def test_one_image_alone_has_nothing_to_be_compared_with() -> None:
    bank, features = filled(1)
    alone = distances_by_image(features, bank, without=[0])
    for statistic in (nearest_distance, lowest_share_mean):
        with pytest.raises(ConfigError, match="at least one image"):
            statistic(alone)


def test_scores_are_smoothed_over_images_that_look_alike() -> None:
    generator = torch.Generator().manual_seed(0)
    tokens = torch.nn.functional.normalize(torch.rand(6, 4, generator=generator), dim=-1)
    scores = torch.tensor([0.2, 0.9, 0.4, 0.4, 0.1, 0.7])
    smoothed = similarity_smoothed_scores(scores, tokens, (1, 2, 3))
    scaled = (scores - 0.1) / 0.8
    for image in range(6):
        cosines = [float(tokens[image] @ tokens[other]) for other in range(6)]
        ordered = sorted(range(6), key=lambda other: -cosines[other])
        means = []
        for k in (1, 2, 3):
            weights = [cosines[other] for other in ordered[:k]]
            means.append(sum(w * float(scaled[o]) for w, o in zip(weights, ordered[:k], strict=True)) / sum(weights))
        assert float(smoothed[image]) == pytest.approx(sum(means) / 3, abs=1e-6)


def test_scores_that_are_all_equal_stay_finite() -> None:
    smoothed = similarity_smoothed_scores(torch.full((3,), 0.5), torch.eye(3), (1, 2, 9))
    assert torch.equal(smoothed, torch.zeros(3))


# --- coreset ---


def test_a_coreset_takes_the_farthest_entry_each_time() -> None:
    features = torch.randn(40, 6, generator=torch.Generator().manual_seed(2))
    chosen = greedy_coreset(features, 9, seed=5).tolist()
    points = features.double().numpy()
    for number in range(1, 9):
        nearest = np.array([min(np.linalg.norm(point - points[one]) for one in chosen[:number]) for point in points])
        assert nearest[chosen[number]] == pytest.approx(nearest.max())
    assert chosen == greedy_coreset(features, 9, seed=5).tolist()


def test_a_coreset_of_everything_is_everything_once() -> None:
    features = torch.ones(5, 2)
    assert sorted(greedy_coreset(features, 5).tolist()) == [0, 1, 2, 3, 4]
    with pytest.raises(ConfigError, match=r"lies in \[1, 5\]; got 6"):
        greedy_coreset(features, 6)


def test_a_coreset_covers_better_than_as_many_drawn_entries() -> None:
    features = torch.randn(300, 4, generator=torch.Generator().manual_seed(0))
    chosen = features[greedy_coreset(features, 20)]
    drawn = features[torch.randperm(300, generator=torch.Generator().manual_seed(1))[:20]]
    covers = [float(torch.cdist(features, kept).amin(1).amax()) for kept in (chosen, drawn)]
    assert covers[0] < 0.8 * covers[1]
    assert math.isfinite(covers[0])

"""PatchCore against its equations in loops: features, the greedy coreset, distances and the weight of eq. 7."""

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.small import CONFIG, frozen, images
from zsad import checkpoint
from zsad.backbones import weights
from zsad.errors import ConfigError
from zsad.methods import patchcore
from zsad.methods.patchcore import PatchCore, PatchCoreConfig
from zsad.references import PatchFeatures, greedy_coreset, statistics

WIDTH = 2 * CONFIG.vision.width
NAMES = ["nut", "nut"]


def fitted(config: PatchCoreConfig | None = None, count: int = 2) -> PatchCore:
    method = PatchCore(frozen(), config)
    method.fit_normal(images(count, seed=7))
    method.finish_fit()
    return method


class Given(PatchCore):
    """PatchCore whose images are their own features: [batch, 3, rows, cols], of width 3."""

    def __init__(self, config: PatchCoreConfig) -> None:
        super().__init__(frozen(), config)
        self.bank = type(self.bank)((3,))
        self.directions = torch.nn.Identity()  # type: ignore[assignment]

    def reference_features(self, images: Tensor) -> PatchFeatures:
        cells = images.flatten(2).transpose(1, 2)
        return PatchFeatures((cells / cells.norm(dim=-1, keepdim=True),), (images.shape[2], images.shape[3]))


def points(batch: int, cells: int, seed: int) -> Tensor:
    return torch.randn(batch, 3, 1, cells, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("unit_levels", [False, True])
@torch.inference_mode()
def test_features_are_means_over_neighbourhoods_of_all_levels_joined(unit_levels: bool) -> None:
    """Blocks 12 and 18 of 24 are the second and third of these four."""
    method, pixels = PatchCore(frozen(), PatchCoreConfig(unit_levels=unit_levels)), images(1)
    (features,) = method.reference_features(pixels).streams
    trace = method.clip.vision(pixels, keep=(1, 2))
    for row in range(4):
        for col in range(4):
            expected = []
            for block in (1, 2):
                patches = trace.kept[block][0, 1:].reshape(4, 4, -1)
                mean = torch.zeros(CONFIG.vision.width)
                for r in range(row - 1, row + 2):
                    for c in range(col - 1, col + 2):
                        if 0 <= r < 4 and 0 <= c < 4:
                            mean += patches[r, c] / 9
                expected.append(mean / mean.norm() if unit_levels else mean)
            joined = torch.cat(expected)
            torch.testing.assert_close(features[0, 4 * row + col], joined / joined.norm(), rtol=1e-4, atol=1e-5)


@torch.inference_mode()
def test_the_map_is_half_of_the_distance_from_the_nearest() -> None:
    method, pixels = fitted(), images(2)
    evidence = method(pixels, NAMES)
    features = method.reference_features(pixels).streams[0]
    normal = method.reference_features(images(2, seed=7)).streams[0].flatten(0, 1)
    for image in range(2):
        for cell in range(16):
            nearest = min(math.dist(features[image, cell].tolist(), entry.tolist()) for entry in normal)
            assert float(evidence.maps[image, 0].flatten()[cell]) == pytest.approx(nearest / 2, abs=1e-6)
    assert 0 < evidence.maps.min() < evidence.maps.max() < 1


@torch.inference_mode()
def test_an_image_that_was_seen_is_at_no_distance() -> None:
    evidence = fitted()(images(2, seed=7), NAMES)
    assert float(evidence.maps.max()) < 1e-6
    assert float(evidence.score.max()) < 1e-6


@pytest.mark.parametrize("neighbours", [2, 3, 9])
@torch.inference_mode()
def test_the_score_is_weighted_as_in_equation_7(neighbours: int) -> None:
    method = Given(PatchCoreConfig(reweighting_neighbours=neighbours))
    method.fit_normal(points(1, 12, 0))
    query = points(3, 5, 1)
    evidence = method(query, [""] * 3)
    entries = [entry.tolist() for entry in method.bank.streams[0]]
    for image in range(3):
        patches = [patch.tolist() for patch in method.reference_features(query[image][None]).streams[0][0]]
        least = [min((math.dist(patch, entry), number) for number, entry in enumerate(entries)) for patch in patches]
        (greatest, number), patch = max(zip(least, patches, strict=True))
        around = sorted(entries, key=lambda entry, of=entries[number]: math.dist(entry, of))[:neighbours]
        weight = 1 - math.exp(greatest) / sum(math.exp(math.dist(patch, entry)) for entry in around)
        assert float(evidence.score[image]) == pytest.approx(weight * greatest / 2, abs=1e-5)


def test_equation_7_in_numbers() -> None:
    """Entries at 0, 60 and 90 degrees, a patch at -90: 90 from the first, 150 from the second, 180 from the third."""
    method = Given(PatchCoreConfig(reweighting_neighbours=2))
    method.fit_normal(torch.tensor([[1, 0.5, 0], [0, 0.75**0.5, 1], [0, 0, 0]])[None, :, None])
    evidence = method(torch.tensor([0.0, -1.0, 0.0]).reshape(1, 3, 1, 1), [""])
    assert evidence.maps.item() == pytest.approx(2**0.5 / 2)
    weight = 1 - math.exp(1.414214) / (math.exp(1.414214) + math.exp(1.931852))
    assert evidence.score.item() == pytest.approx(weight * 0.707107, abs=1e-5)
    assert evidence.score.item() == pytest.approx(0.443069, abs=1e-5)


@pytest.mark.parametrize(("entries", "config"), [(1, 9), (12, 0)])
def test_without_others_to_compare_with_the_score_is_the_maximum(entries: int, config: int) -> None:
    method = Given(PatchCoreConfig(reweighting_neighbours=config))
    method.fit_normal(points(1, entries, 0))
    evidence = method(points(2, 5, 1), NAMES)
    assert torch.equal(evidence.score, evidence.maps.amax((1, 2, 3)))


@torch.inference_mode()
def test_distances_do_not_depend_on_what_is_compared_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    method, pixels = fitted(count=3), images(2)
    whole = method(pixels, NAMES)
    for most in (1, 2 * 16 * 5):
        monkeypatch.setattr(statistics, "MAX_SIMILARITIES", most)
        parts = method(pixels, NAMES)
        torch.testing.assert_close(parts.maps, whole.maps, rtol=0, atol=1e-6)
        torch.testing.assert_close(parts.score, whole.score, rtol=0, atol=1e-6)


# --- the coreset ---


def slow_coreset(points: list[list[float]], count: int, chosen: list[list[float]]) -> list[int]:
    """Algorithm 1: again and again the point whose nearest chosen one is farthest."""
    found: list[int] = []
    for _ in range(count):
        rest = [number for number in range(len(points)) if number not in found]
        centres = chosen + [points[number] for number in found]
        found.append(max(rest, key=lambda number: min(math.dist(points[number], centre) for centre in centres)))
    return found


@pytest.mark.parametrize("given", [1, 7])
def test_a_coreset_goes_on_from_what_is_given(given: int, monkeypatch: pytest.MonkeyPatch) -> None:
    features = torch.randn(30 + given, 4, generator=torch.Generator().manual_seed(0))
    before, new = features[:given], features[given:]
    expected = slow_coreset(new.tolist(), 9, before.tolist())
    for most in (1, 60, 2**24):
        monkeypatch.setattr("zsad.references.coreset.MAX_DISTANCES", most)
        assert greedy_coreset(new, 9, given=before).tolist() == expected


def test_a_coreset_is_a_tenth_of_many_images_far_apart() -> None:
    method = Given(PatchCoreConfig(whole_images=0))
    method.fit_normal(points(4, 25, 0))
    before = method.bank.streams[0].tolist()
    method.finish_fit()
    first = int(torch.randint(100, (), generator=torch.Generator().manual_seed(0)))
    chosen = [first, *slow_coreset(before, 9, [before[first]])]
    assert method.bank.streams[0].tolist() == [before[number] for number in sorted(chosen)]
    assert sum(method.bank.entries_by_image()) == 10
    assert method.bank.images == 4


@pytest.mark.parametrize(
    ("images_before", "images_after", "whole", "kept"),
    [
        (0, 3, 3, [75]),  # a few are kept whole
        (0, 4, 3, [75]),  # and of more no fewer
        (0, 4, 0, [10]),  # a tenth
        (3, 3, 3, [75, 83]),  # what was kept whole stays, and a tenth of the new, rounded up, joins it
        (4, 2, 0, [10, 15]),  # so does what was chosen
        (4, 2, 3, [75, 80]),  # also where there are enough already
    ],
)
def test_how_much_is_kept(images_before: int, images_after: int, whole: int, kept: list[int]) -> None:
    method, sizes = Given(PatchCoreConfig(whole_images=whole)), []
    for number, count in enumerate((images_before, images_after)):
        if count:
            method.fit_normal(points(count, 25, number))
            method.finish_fit()
            sizes.append(len(method.bank))
    assert sizes == kept


def test_what_was_chosen_stays_when_more_is_added() -> None:
    method = Given(PatchCoreConfig(whole_images=0))
    method.fit_normal(points(4, 25, 0))
    method.finish_fit()
    first = method.bank.streams[0].clone()
    method.fit_normal(points(4, 25, 1))
    new = method.bank.streams[0][10:].tolist()
    method.finish_fit()
    assert torch.equal(method.bank.streams[0][:10], first)
    expected = sorted(slow_coreset(new, 10, first.tolist()))
    assert method.bank.streams[0][10:].tolist() == [new[number] for number in expected]


def test_memory_is_bounded_while_images_are_added(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patchcore, "MAX_CANDIDATE_VALUES", 3 * 99)
    method, greatest = Given(PatchCoreConfig(whole_images=0)), 0
    for number in range(12):
        method.fit_normal(points(2, 25, number))
        greatest = max(greatest, len(method.bank))
    method.finish_fit()
    assert (len(method.bank), method.bank.images) == (60, 24)
    assert greatest <= 60 + 50
    monkeypatch.setattr(patchcore, "MAX_ENTRIES", 64)
    for number, size in ((20, 64), (21, 64)):
        method.fit_normal(points(2, 25, number))
        method.finish_fit()
        assert len(method.bank) == size
    assert method.bank.images == 28


@torch.inference_mode()
def test_a_fit_is_the_same_each_time_and_of_its_seed() -> None:
    config = PatchCoreConfig(whole_images=0, coreset_share=0.3)
    ours, again = fitted(config, 4), fitted(config, 4)
    assert torch.equal(ours.bank.streams[0], again.bank.streams[0])
    other = fitted(replace(config, seed=1), 4)
    assert not torch.equal(ours.bank.streams[0], other.bank.streams[0])


@torch.inference_mode()
def test_a_coreset_is_near_the_whole_bank() -> None:
    """No patch lies farther from the coreset than from the bank by more than the coreset's covering radius."""
    whole, thinned = fitted(count=4), fitted(PatchCoreConfig(whole_images=0, coreset_share=0.5), 4)
    full, kept = whole.bank.streams[0], thinned.bank.streams[0]
    assert len(kept) == len(full) / 2
    radius = torch.cdist(full, kept).amin(1).max() / 2
    difference = thinned(images(2), NAMES).maps - whole(images(2), NAMES).maps
    assert difference.min() > -1e-6
    assert difference.max() <= radius + 1e-6


# --- as a detector ---


def test_without_normal_images_it_says_how_to_fit_it() -> None:
    with pytest.raises(ConfigError, match=r"few-shot only.*got no normal image.*zsad fit patchcore --normal DIR"):
        PatchCore(frozen())(images(1), ["nut"])


@torch.inference_mode()
def test_a_coreset_is_kept_on_disk(tmp_path: Path) -> None:
    method = fitted(PatchCoreConfig(whole_images=0), 4)
    checkpoint.write(checkpoint.Card("patchcore"), method, checkpoint.TrainingRecord(), tmp_path)
    again = PatchCore(frozen(), method.config)
    checkpoint.load_trained_state(again, tmp_path)
    assert torch.equal(again(images(1), ["nut"]).maps, method(images(1), ["nut"]).maps)
    assert again.bank.images == 4


@torch.inference_mode()
def test_a_hybrid_gives_the_features_of_its_cnn_and_runs_no_block(monkeypatch: pytest.MonkeyPatch) -> None:
    clip = weights.load("tiny")
    monkeypatch.setattr(clip.vision.transformer, "forward", None)
    method, pixels = PatchCore(clip), images(2, 64, 96)
    assert method.bank.widths == (40 + 112 + 320,)
    method.fit_normal(images(1, 64, 96, seed=2))
    evidence = method(pixels, NAMES)
    assert evidence.maps.shape == (2, 1, 4, 6)
    stem = clip.vision.patch_embedding
    features, means = stem.standardised(stem.features(pixels)), []
    for level in features.split([40, 112, 320], 1):
        padded = torch.nn.functional.pad(level, (1, 1, 1, 1))
        mean = sum(padded[:, :, r : r + 4, c : c + 6] for r in range(3) for c in range(3)) / 9
        means.append(mean)
    joined = torch.cat(means, 1)
    joined = joined / joined.norm(dim=1, keepdim=True)
    torch.testing.assert_close(method.reference_features(pixels).streams[0].mT.unflatten(2, (4, 6)), joined)


OPTIONS: list[dict[str, Any]] = [
    {"levels": (6, 24)},
    {"neighbourhood": 1},
    {"unit_levels": True},
    {"coreset_share": 0.5, "whole_images": 0},
    {"whole_images": 0},
    {"reweighting_neighbours": 0},
]


@pytest.mark.parametrize("options", OPTIONS, ids=str)
@torch.inference_mode()
def test_every_option_reaches_the_answer(options: dict[str, Any]) -> None:
    found = [fitted(config, 3)(images(2), NAMES) for config in (PatchCoreConfig(), PatchCoreConfig(**options))]
    assert (found[0].score - found[1].score).abs().max() > 1e-5


@pytest.mark.parametrize("options", [{"directions": 2}, {"seed": 3}], ids=str)
@torch.inference_mode()
def test_options_of_the_coreset_reach_it(options: dict[str, int]) -> None:
    config = PatchCoreConfig(whole_images=0, coreset_share=0.3)
    found = [fitted(one, 3).bank.streams[0] for one in (config, replace(config, **options))]
    assert not torch.equal(found[0], found[1])


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"levels": ()}, "at least one level; got none"),
        ({"levels": (25,)}, "25"),
        ({"neighbourhood": 2}, "odd; got 2. Remedy: say 3"),
        ({"neighbourhood": 33}, "got 33"),
        ({"coreset_share": 0.0}, "share of a coreset .*got 0"),
        ({"coreset_share": 1.5}, "share of a coreset .*got 1.5"),
        ({"whole_images": 65}, "got 65"),
        ({"directions": 0}, "number of directions .*got 0"),
        ({"reweighting_neighbours": 1}, "1 neighbour, which is the entry itself"),
        ({"reweighting_neighbours": -1}, "got -1"),
    ],
    ids=str,
)
def test_options_out_of_range_are_refused(options: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        PatchCoreConfig(**options)


def test_a_cnn_that_is_not_there_is_refused() -> None:
    with pytest.raises(ConfigError, match="those of a hybrid backbone; got cnn"):
        PatchCore(frozen(), PatchCoreConfig(features="cnn"))

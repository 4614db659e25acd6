"""MuSc against its equations written out, and on folders of every kind."""

import math
import re
from collections.abc import Sequence

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from tests import small
from zsad.backbones import weights
from zsad.errors import ConfigError, InputError
from zsad.methods import FolderScores, musc
from zsad.methods.clip_ac import ClipAc
from zsad.methods.musc import MuSc, MuScConfig, mean_similarity
from zsad.scoring import anomaly_maps
from zsad.testing._folders import loading

SIDE = 32
LEVELS = (6, 24)


def folder(count: int, seed: int = 0) -> Tensor:
    """Images of one kind; every third has a patch of its own."""
    generator = torch.Generator().manual_seed(seed)
    images = torch.randn(1, 3, SIDE, SIDE, generator=generator) + 0.2 * torch.randn(
        count, 3, SIDE, SIDE, generator=generator
    )
    for number in range(0, count, 3):
        images[number, :, 8:16, 8:24] = 2 * torch.randn(3, 8, 16, generator=generator)
    return images


@torch.inference_mode()
def score(images: Tensor, batch: int = 3, unreadable: Sequence[int] = (), **options: object) -> FolderScores:
    method = MuSc(small.frozen(), MuScConfig(**options))  # type: ignore[arg-type]
    return method.score_folder(loading(images, batch, unreadable), len(images), "object")


def maps_of(scores: FolderScores) -> Tensor:
    """In the order of the folder."""
    return scores.evidence.maps[torch.tensor(scores.indices).argsort()]


def scores_of(scores: FolderScores) -> Tensor:
    return scores.evidence.score[torch.tensor(scores.indices).argsort()]


# --- the equations ---


@torch.inference_mode()
def written_out(
    images: Tensor, sides: tuple[int, ...], share: float, neighbours: tuple[int, ...]
) -> tuple[Tensor, ...]:
    """Maps and scores, one patch and one image at a time, in double precision."""
    vision = small.frozen().vision
    trace, count, grid = vision(images, keep=[0, 3]), len(images), SIDE // small.PATCH
    maps = torch.zeros(count, grid, grid, dtype=torch.float64)
    for block in (0, 3):
        tokens = trace.kept[block][:, 1:].double()
        normalised = (tokens - tokens.mean((1, 2), keepdim=True)) / (
            tokens.var((1, 2), keepdim=True, unbiased=False) + 1e-5
        ).sqrt()
        for side in sides:
            features = torch.zeros(count, grid, grid, tokens.shape[2], dtype=torch.float64)
            for row in range(grid):
                for col in range(grid):
                    for r in range(max(0, row - side // 2), min(grid, row + side // 2 + 1)):
                        for c in range(max(0, col - side // 2), min(grid, col + side // 2 + 1)):
                            features[:, row, col] += normalised[:, r * grid + c]
            units = features / features.norm(dim=-1, keepdim=True)
            for image in range(count):
                for row in range(grid):
                    for col in range(grid):
                        nearest = sorted(
                            float((units[other] - units[image, row, col]).norm(dim=-1).min())
                            for other in range(count)
                            if other != image
                        )
                        counted = nearest[: math.ceil(share * (count - 1) - 1e-9)]
                        maps[image, row, col] += sum(counted) / len(counted) / 2 / (2 * len(sides))
    enlarged = F.interpolate(maps[:, None], SIDE, mode="bilinear", align_corners=True)
    peaks = enlarged.amax((1, 2, 3))
    scaled = (peaks - peaks.min()) / (peaks.max() - peaks.min())
    cosines = F.normalize(vision.project(trace.last[:, 0]).double(), dim=-1)
    cosines = cosines @ cosines.T
    scores = torch.zeros(count, dtype=torch.float64)
    for image in range(count):
        order = sorted(range(count), key=lambda other: -float(cosines[image, other]))
        for k in neighbours:
            weights = [float(cosines[image, other]) for other in order[:k]]
            total = sum(weight * float(scaled[other]) for weight, other in zip(weights, order[:k], strict=True))
            scores[image] += total / sum(weights) / len(neighbours)
    return maps, scores


@pytest.mark.parametrize(
    ("count", "sides", "share", "neighbours"),
    [(6, (1, 3, 5), 0.3, (1, 2, 3)), (4, (3,), 0.7, (1, 3)), (2, (1,), 0.3, (1,))],
)
def test_maps_and_scores_are_those_of_the_equations(
    count: int, sides: tuple[int, ...], share: float, neighbours: tuple[int, ...]
) -> None:
    images = folder(count)
    found = score(images, levels=LEVELS, neighbourhoods=sides, share=share, neighbours=neighbours)
    maps, scores = written_out(images, sides, share, neighbours)
    torch.testing.assert_close(maps_of(found)[:, 0].double(), maps, rtol=0, atol=1e-5)
    torch.testing.assert_close(scores_of(found).double(), scores, rtol=0, atol=1e-4)


def test_a_cosine_distance_is_the_square_of_half_the_euclidean_one() -> None:
    """Of unit vectors; with one level, one neighbourhood and one other image nothing is averaged."""
    euclidean, cosine = (
        maps_of(score(folder(2), levels=(24,), neighbourhoods=(1,), distance=distance))
        for distance in ("euclidean", "cosine")
    )
    torch.testing.assert_close(cosine, euclidean**2, rtol=0, atol=1e-6)
    assert float(cosine.max()) > 0.01


def test_the_constants_are_those_of_the_paper() -> None:
    config = MuScConfig()
    assert (config.levels, config.neighbourhoods, config.share) == ((6, 12, 18, 24), (1, 3, 5), 0.3)
    assert (config.neighbours, config.distance) == ((1, 2, 3), "euclidean")
    assert (config.sigma, config.align_corners, config.directions) == (0.0, True, None)
    assert MuSc.paper_backbone == "ViT-L-14-336"


def test_a_score_is_scaled_from_the_maximum_of_the_enlarged_map() -> None:
    found = score(folder(5), neighbours=())
    peaks = anomaly_maps(found.evidence, (SIDE, SIDE), MuScConfig()).amax((1, 2))
    expected = (peaks - peaks.min()) / (peaks.max() - peaks.min())
    torch.testing.assert_close(found.evidence.score, expected, rtol=0, atol=1e-6)


def test_odd_images_stand_out() -> None:
    images = folder(12)
    scores = scores_of(score(images))
    odd = torch.arange(12) % 3 == 0
    assert scores[odd].min() > scores[~odd].max()
    maps = maps_of(score(images))[:, 0]
    assert {*maps[odd].flatten(1).argmax(1).tolist()} <= {5, 6}  # second row, second and third column


# --- folders ---


@pytest.mark.parametrize("batch", [1, 2, 7, 64])
def test_batches_change_nothing(batch: int) -> None:
    images = folder(7)
    ours, theirs = score(images, batch), score(images, 4)
    torch.testing.assert_close(maps_of(ours), maps_of(theirs), rtol=0, atol=1e-5)
    torch.testing.assert_close(scores_of(ours), scores_of(theirs), rtol=0, atol=1e-4)


def test_unreadable_images_are_as_if_they_were_not_there() -> None:
    images = folder(6)
    found = score(images, unreadable=[0, 4])
    assert found.indices == [1, 2, 3, 5]
    theirs = score(images[[1, 2, 3, 5]])
    torch.testing.assert_close(found.evidence.maps, theirs.evidence.maps, rtol=0, atol=1e-5)
    torch.testing.assert_close(found.evidence.score, theirs.evidence.score, rtol=0, atol=1e-4)


def test_nothing_readable_gives_no_scores() -> None:
    found = score(folder(3), unreadable=[0, 1, 2])
    assert (found.indices, len(found.evidence.maps), len(found.evidence.score)) == ([], 0, 0)


@torch.inference_mode()
def test_one_image_is_answered_by_text() -> None:
    images = folder(3)
    method, expected = MuSc(small.frozen()), ClipAc(small.frozen())(images[1:2], ["metal nut"])
    assert not method.scores_folder(1)
    assert method.scores_folder(2)
    alone = method(images[1:2], ["metal nut"])
    found = method.score_folder(loading(images, 3, [0, 2]), 3, "metal nut")
    assert found.indices == [1]
    for evidence in (alone, found.evidence):
        assert torch.equal(evidence.maps, expected.maps)
        assert torch.equal(evidence.score, expected.score)
    assert (method.explain(1), found.by_one_another) == (found.explanation, False)
    assert re.match(r"Scored by text alone \(clip-ac\): .* at least two images", found.explanation)


@torch.inference_mode()
def test_one_image_is_refused_without_text() -> None:
    images, method = folder(3), MuSc(small.vision_only("dinov2"))
    rule = r"one alone by text; got one on small-dinov2, which has no text tower.*use a CLIP"
    with pytest.raises(InputError, match=rule):
        method(images[:1], ["object"])
    with pytest.raises(InputError, match=rule):
        method.score_folder(loading(images, 3, [0, 2]), 3, "object")
    assert method.score_folder(loading(images, 3, [0, 1, 2]), 3, "object").indices == []


def test_copies_of_one_image_have_no_score() -> None:
    found = score(folder(1).repeat(5, 1, 1, 1))
    assert found.evidence.maps.max() < 1e-3
    assert torch.equal(found.evidence.score, torch.zeros(5))


# --- groups ---


def test_a_large_folder_is_compared_in_groups() -> None:
    images = folder(11)
    found = score(images, images_together=4, neighbours=())
    maps = maps_of(found)
    for first in range(3):
        group = score(images[first::3], images_together=4)
        torch.testing.assert_close(maps[first::3], maps_of(group), rtol=0, atol=1e-5)
    assert sorted(found.indices) == list(range(11))
    assert "in 3 groups" in found.explanation
    peaks = anomaly_maps(found.evidence, (SIDE, SIDE), MuScConfig()).amax((1, 2))
    expected = (peaks - peaks.min()) / (peaks.max() - peaks.min())  # over the whole folder
    torch.testing.assert_close(found.evidence.score, expected, rtol=0, atol=1e-6)


def test_an_image_that_is_left_alone_in_its_group_joins_the_next() -> None:
    images = folder(6)
    found = score(images, images_together=2, unreadable=[3, 4])  # groups 0 3, 1 4, 2 5
    assert sorted(found.indices) == [0, 1, 2, 5]
    torch.testing.assert_close(maps_of(found)[:2], score(images[:2]).evidence.maps, rtol=0, atol=1e-5)


def test_the_last_image_that_is_left_alone_comes_with_another_group() -> None:
    images = folder(6)
    found = score(images, images_together=2, unreadable=[5])  # groups 0 3, 1 4, 2
    assert sorted(found.indices) == [0, 1, 2, 3, 4]
    torch.testing.assert_close(maps_of(found)[2:3], maps_of(score(images[[1, 2, 4]]))[1:2], rtol=0, atol=1e-5)
    torch.testing.assert_close(maps_of(found)[[1, 4]], maps_of(score(images[[1, 4]])), rtol=0, atol=1e-5)


def test_the_similarity_is_the_mean_over_pairs() -> None:
    tokens = F.normalize(torch.tensor([[1.0, 0, 0], [0.2, 1, 0], [0, 0.1, 1], [1, 1, 1]]), dim=-1)
    cosines = [float(tokens[a] @ tokens[b]) for a in range(4) for b in range(4) if a != b]
    assert mean_similarity(tokens) == pytest.approx(sum(cosines) / 12, abs=1e-6)


@torch.inference_mode()
def test_images_of_different_kinds_are_scored_by_text() -> None:
    images = torch.stack([torch.full((3, SIDE, SIDE), value) for value in (3.0, 0.0, -3.0)])
    together = score(images[:2])
    assert together.explanation.startswith("2 images judged one another by MuSc")
    assert together.by_one_another
    found, expected = score(images, batch=1, unreadable=[1]), ClipAc(small.frozen())(images, ["object"] * 3)
    assert (found.indices, found.by_one_another) == ([0, 2], False)
    torch.testing.assert_close(found.evidence.maps, expected.maps[::2], rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(found.evidence.score, expected.score[::2], rtol=1e-5, atol=1e-6)
    assert found.explanation.startswith("Scored by text alone (clip-ac): the images seem to be of several kinds")


@torch.inference_mode()
def test_without_text_images_of_different_kinds_are_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    method, images = MuSc(small.vision_only("dinov2")), folder(4)
    together = method.score_folder(loading(images), 4, "object")
    assert "several kinds" not in together.explanation
    monkeypatch.setattr(musc, "OF_ONE_KIND", 1.01)
    found = method.score_folder(loading(images), 4, "object")
    assert torch.equal(found.evidence.score, together.evidence.score)
    assert found.explanation.startswith("4 images judged one another")
    assert "several kinds" in found.explanation


# --- projections and hybrids ---


@torch.inference_mode()
def test_random_directions_are_near_all_of_the_width() -> None:
    images = folder(8)
    whole, reduced = score(images), score(images, directions=24)
    assert 1e-4 < (maps_of(whole) - maps_of(reduced)).abs().max() < 0.1
    torch.testing.assert_close(maps_of(score(images, directions=32)), maps_of(whole), rtol=0, atol=1e-3)  # in fp16


@torch.inference_mode()
def test_a_hybrid_is_compared_by_stages_of_its_cnn() -> None:
    clip = weights.load("tiny")
    images = torch.randn(4, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    stages, blocks = (MuSc(clip, MuScConfig(features=source)) for source in ("auto", "blocks"))  # type: ignore[arg-type]
    assert [len(method.projections) for method in (stages, blocks)] == [3, 4]
    maps = [maps_of(method.score_folder(loading(images), 4, "object")) for method in (stages, blocks)]
    assert [tuple(one.shape) for one in maps] == [(4, 1, 4, 4)] * 2
    assert (maps[0] - maps[1]).abs().max() > 1e-3
    with pytest.raises(ConfigError, match="hybrid"):
        MuSc(small.frozen(), MuScConfig(features="cnn"))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"levels": ()}, "at least one block"),
        ({"levels": (25,)}, "layer lies in"),
        ({"neighbourhoods": (2,)}, "odd"),
        ({"neighbourhoods": ()}, "at least one"),
        ({"share": 0.0}, "share"),
        ({"share": 1.5}, "share"),
        ({"images_together": 1}, "compared with one another"),
        ({"neighbours": (0,)}, "averaged"),
        ({"directions": 0}, "directions"),
        ({"cnn_directions": 0}, "directions"),
    ],
)
def test_impossible_constants_are_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        MuScConfig(**options)  # type: ignore[arg-type]

"""The detector that joins text and references: its parts against loops, and folders of every kind."""

import math
from collections.abc import Sequence

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from tests import small
from zsad.errors import ConfigError, ZsadWarning
from zsad.methods import FolderScores
from zsad.methods.auto import Auto
from zsad.methods.auto.joining import Scale, image_values, joined, log_distance, probability
from zsad.methods.auto.method import AutoConfig
from zsad.methods.clip_ac import ClipAc
from zsad.testing._folders import loading

SIDE = 64


def folder(count: int, anomalous: Sequence[int] = (), seed: int = 0) -> Tensor:
    """Images of one kind; some have a square of their own."""
    generator = torch.Generator().manual_seed(seed)
    images = torch.randn(1, 3, SIDE, SIDE, generator=generator) + 0.2 * torch.randn(
        count, 3, SIDE, SIDE, generator=generator
    )
    for number in anomalous:
        images[number, :, 16:40, 16:40] = 2 * torch.randn(3, 24, 24, generator=generator)
    return images


def detector(**options: object) -> Auto:
    # On random weights, images of one kind are as far apart as unrelated ones are on trained ones.
    return Auto(small.frozen(), AutoConfig(**({"unlike": 1.0} | options)))  # type: ignore[arg-type]


@torch.inference_mode()
def score(images: Tensor, batch: int = 3, unreadable: Sequence[int] = (), **options: object) -> FolderScores:
    return detector(**options).score_folder(loading(images, batch, unreadable), len(images), "object")


def scores_of(scores: FolderScores) -> Tensor:
    """In the order of the folder."""
    return scores.evidence.score[torch.tensor(scores.indices).argsort()]


# --- the formulas ---


def test_scale_is_the_median_and_the_highest_percent_in_deviations() -> None:
    scale = Scale.of(torch.arange(101.0)[torch.randperm(101, generator=torch.Generator().manual_seed(0))])
    assert scale.median == 50.0
    assert scale.deviation == pytest.approx((99 - 50) / 2.3263)


def test_evidence_is_joined_by_the_weighted_mean_of_deviations_from_the_median() -> None:
    text, reference = torch.tensor([[1.0, 4.0]]), torch.tensor([[-3.0, -1.0]])
    found = joined(text, reference, Scale(1.0, 2.0), Scale(-3.0, 0.5), text_weight=0.25)
    torch.testing.assert_close(found, torch.tensor([[0.0, (0.25 * 1.5 + 4.0) / 1.25]]))
    torch.testing.assert_close(
        probability(found), 0.5 + torch.tensor([[math.atan(-3.0), math.atan(3.5 - 3)]]) / math.pi
    )


def test_strong_evidence_of_one_kind_is_not_outvoted() -> None:
    """A defect that the text does not see: ten deviations against half a one."""
    alone = joined(torch.tensor([[-0.5]]), torch.tensor([[10.0]]), Scale(0, 1), Scale(0, 1), 1.0)
    both = joined(torch.tensor([[2.0]]), torch.tensor([[2.0]]), Scale(0, 1), Scale(0, 1), 1.0)
    assert float(alone) > float(both)


def test_images_are_scored_by_their_highest_shares() -> None:
    cells = torch.arange(100.0)[None]
    assert float(image_values(cells, (0.01, 0.1))) == pytest.approx((99 + 94.5) / 2)


def test_a_folder_against_the_definition_written_out() -> None:
    images = folder(4, anomalous=[2])
    found = score(images, ordinary=1.0, share=0.5, directions=None, levels=(12,), neighbourhoods=(1,))
    clip = small.frozen()
    with torch.inference_mode():
        depth = len(clip.vision.transformer.blocks)
        trace = clip.vision(images, keep=[round(12 * depth / 24) - 1])
        ((_, tokens),) = trace.kept.items()
        patches = F.normalize(tokens[:, 1:].double(), dim=-1)
        text = ClipAc(clip)(images, ["object"] * 4).maps[:, 0].flatten(1).double().logit()
    rows = []
    for image in range(4):
        for patch in patches[image]:
            others = sorted(
                (1 - max(float(patch @ other) for other in patches[number])) / 2
                for number in range(4)
                if number != image
            )
            rows.append(math.log(sum(others[:2]) / 2 + 0.001))  # half of three, rounded up
    distances = torch.tensor(rows, dtype=torch.float64).reshape(4, -1)

    def z(values: Tensor) -> Tensor:
        flat = values.flatten().sort().values
        middle = flat[(len(flat) - 1) // 2]
        return (values - middle) / ((flat[round(0.99 * (len(flat) - 1))] - middle) / 2.3263)

    expected = 0.5 + ((0.5 * z(text) + z(distances)) / 1.5 - 3).atan() / math.pi
    maps = found.evidence.maps[torch.tensor(found.indices).argsort(), 0].flatten(1)
    torch.testing.assert_close(maps.double(), expected, rtol=0, atol=2e-4)


# --- folders ---


def test_anomalies_stand_out_of_an_unlabelled_folder() -> None:
    scores = scores_of(score(folder(12, anomalous=[3, 7])))
    assert set(scores.topk(2).indices.tolist()) == {3, 7}


def test_anomalies_stand_out_where_most_images_are_anomalous() -> None:
    anomalous = [0, 2, 3, 4, 6, 7, 8]
    scores = scores_of(score(folder(12, anomalous)))
    assert set(scores.topk(7).indices.tolist()) == set(anomalous)


def test_scores_do_not_depend_on_batches() -> None:
    images = folder(9, anomalous=[1])
    one, other = (scores_of(score(images, batch, max_references=4)) for batch in (1, 5))
    torch.testing.assert_close(one, other, rtol=0, atol=1e-5)


def test_scores_do_not_depend_on_the_order_where_all_are_references() -> None:
    images = folder(7, anomalous=[1])
    order = torch.tensor([3, 1, 6, 0, 2, 5, 4])
    torch.testing.assert_close(scores_of(score(images[order])), scores_of(score(images))[order], rtol=0, atol=1e-5)


@pytest.mark.parametrize("count", [2, 3])
def test_the_smallest_folders_have_finite_scores(count: int) -> None:
    assert scores_of(score(folder(count))).isfinite().all()


def test_identical_images_have_equal_scores() -> None:
    scores = scores_of(score(folder(1).repeat(5, 1, 1, 1)))
    assert float(scores.max() - scores.min()) < 1e-3


@pytest.mark.parametrize("references", [64, 3])
def test_unrelated_images_are_scored_by_text_and_told_so(references: int) -> None:
    images = torch.randn(5, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(3))
    found = score(images, unlike=1e-6, max_references=references)
    with torch.inference_mode():
        text = ClipAc(small.frozen())(images, ["object"] * 5)
    torch.testing.assert_close(scores_of(found), text.score, rtol=0, atol=1e-6)
    assert "text alone" in found.explanation
    assert "too little in common" in found.explanation
    assert not found.by_one_another


def test_one_readable_image_is_scored_by_text() -> None:
    found = score(folder(3), unreadable=[0, 2])
    assert found.indices == [1]
    assert "text alone" in found.explanation


def test_nothing_readable_gives_nothing() -> None:
    assert score(folder(2), unreadable=[0, 1]).indices == []


def test_one_image_is_scored_as_the_text_method_does() -> None:
    method, images = detector(), folder(1)
    assert not method.scores_folder(1)
    with torch.inference_mode():
        torch.testing.assert_close(method(images, ["nut"]).maps, ClipAc(small.frozen())(images, ["nut"]).maps)
    assert "single image" in method.explain(1)


# --- what is remembered ---


def fitted(normal: Tensor, unlabelled: Tensor | None = None, **options: object) -> Auto:
    method = detector(**options)
    if len(normal):
        method.fit_normal(normal)
        method.finish_fit()
    if unlabelled is not None:
        method.fit_unlabelled(unlabelled)
        method.finish_fit()
    return method


@pytest.mark.parametrize("count", [1, 4])
def test_normal_images_find_the_anomalous_one(count: int) -> None:
    images = folder(8, anomalous=[7])
    method = fitted(images[:count])
    assert not method.scores_folder(4)
    with torch.inference_mode():
        scores = method(images[4:], ["object"] * 4).score
    assert int(scores.argmax()) == 3
    assert f"{count} normal image" in method.explain(4)


def test_unlabelled_images_are_remembered_without_the_odd_ones() -> None:
    images = folder(9, anomalous=[0, 5])
    method = fitted(images[:0], images[:8])
    kept = set(method.unlabelled.image.tolist())
    assert len(kept) == 4
    assert not kept & {0, 5}
    with torch.inference_mode():
        scores = method(images, ["object"] * 9).score
    assert set(scores.topk(2).indices.tolist()) == {0, 5}


def test_both_kinds_are_compared_with() -> None:
    images = folder(9, anomalous=[8])
    method = fitted(images[:2], images[2:6])
    with torch.inference_mode():
        scores = method(images[6:], ["object"] * 3).score
    assert int(scores.argmax()) == 2
    assert "2 normal images and 2 unlabelled images" in method.explain(3)


def test_scores_depend_on_what_is_remembered_and_not_on_how_it_came() -> None:
    """In one fit or two, normal images first or last: good images below 1/2, the defective one above."""
    images = folder(20, anomalous=[19])
    split, last, first = fitted(images[:8]), fitted(images[:0], images[8:16]), fitted(images[:8], images[8:16])
    for method, more in ((split, images[8:9]), (last, images[:8])):
        method.fit_normal(more)
        method.finish_fit()
    with torch.inference_mode():
        at_once = fitted(images[:9])(images, ["object"] * 20).score
        in_two, by_both, other_order = (method(images, ["object"] * 20).score for method in (split, last, first))
    torch.testing.assert_close(in_two, at_once, rtol=0, atol=0.03)
    torch.testing.assert_close(by_both, other_order, rtol=0, atol=1e-6)
    for scores in (at_once, in_two, by_both):
        assert float(scores[16:19].max()) < 0.5 < float(scores[19])


def test_a_single_image_more_keeps_the_scale() -> None:
    images = folder(20, anomalous=[19])
    method = fitted(images[:16])
    before = method.scales.clone()
    method.fit_normal(images[16:17])
    method.finish_fit()
    torch.testing.assert_close(method.scales, before, rtol=0, atol=0.1)


def test_unlabelled_images_of_several_kinds_are_warned_of() -> None:
    with pytest.warns(ZsadWarning, match="too little in common to judge others by"):
        fitted(folder(0), folder(6), unlike=1e-6)


def test_rotated_references_know_a_rotated_image() -> None:
    images = folder(3)
    turned = torch.rot90(images[:1], 1, (2, 3))
    plain, rotated = (fitted(images, rotations=count) for count in (1, 4))
    with torch.inference_mode():
        distances = [
            method._remembered.log_distances(method.observe(turned, ["object"]).patches) for method in (plain, rotated)
        ]
    assert float(distances[1].median()) < float(distances[0].median()) - 1


def test_a_remembering_detector_is_saved_whole() -> None:
    images = folder(6)
    method, other = fitted(images[:2], images[2:5]), detector()
    other.load_state_dict(method.state_dict())
    with torch.inference_mode():
        torch.testing.assert_close(other(images, ["a"] * 6).score, method(images, ["a"] * 6).score, rtol=0, atol=0)
    assert not any(name.startswith("text.") for name in method.state_dict())


def test_more_unlabelled_images_join_those_that_were_kept() -> None:
    images = folder(10, anomalous=[0, 9])
    method = fitted(images[:0], images[:4])
    before = set(method.unlabelled.image.tolist())
    method.fit_unlabelled(images[4:])
    method.finish_fit()
    after = set(method.unlabelled.image.tolist())
    assert before < after
    assert len(after) == 2 + 3
    assert not after & {0, 9}


def test_no_more_unlabelled_images_are_compared_than_may_be_references() -> None:
    method = fitted(folder(0), folder(9), max_references=4)
    assert len(method.unlabelled.image.unique()) == 2


def test_a_fit_that_failed_leaves_nothing_for_the_next() -> None:
    images = folder(5)
    method, other = detector(), detector()
    before = method.bank.copy()
    method.fit_normal(images[:2] + 1)
    method.bank = before  # as zsad.memory_bank.fit does
    for each in (method, other):
        each.fit_normal(images[2:])
        each.finish_fit()
    torch.testing.assert_close(method.scales, other.scales, rtol=0, atol=0)


@pytest.mark.parametrize("name", ["musc", "patchcore", "auto"])
def test_text_is_of_a_method_that_needs_no_other_images(name: str) -> None:
    with pytest.raises(ConfigError, match="needs no other images"):
        detector(text=name)


def test_text_of_another_method_is_joined() -> None:
    images = folder(4, anomalous=[2])
    assert int(scores_of(score(images, text="winclip")).argmax()) == 2


def test_distances_below_the_noise_are_alike() -> None:
    near = log_distance(torch.tensor([0.0, 1e-5]))
    assert float(near[1] - near[0]) < 0.011


def test_options_at_their_bounds_are_taken_and_beyond_them_refused() -> None:
    AutoConfig(text_weight=0, max_references=2, rotations=72, ordinary=1, image_shares=(1.0,), directions=1, window=0)
    beyond: list[dict[str, object]] = [
        {"text_weight": 10.5},
        {"max_references": 1},
        {"rotations": 0},
        {"ordinary": 1.01},
        {"share": 0},
        {"unlike": 1.5},
        {"image_shares": (0.02, 1.2)},
        {"directions": 0},
        {"window": -1},
        {"levels": (25,)},
        {"neighbourhoods": ()},
        {"image_shares": ()},
    ]
    for options in beyond:
        with pytest.raises(ConfigError):
            AutoConfig(**options)  # type: ignore[arg-type]

"""Methods on backbones that have no text tower: the reference methods run, and the others refuse them."""

import math

import pytest
import torch

from tests import small
from tests.methods.test_auto import folder, loading, scores_of
from zsad import methods
from zsad.errors import ConfigError, InputError
from zsad.methods.auto import Auto
from zsad.methods.auto.joining import Scale, joined
from zsad.methods.auto.method import AutoConfig
from zsad.methods.musc import MuSc
from zsad.methods.patchcore import PatchCore

KINDS = tuple(small.VISION_ONLY)
WITHOUT_TEXT = ("auto", "musc", "patchcore")


def test_methods_need_text_or_run_without() -> None:
    clip = small.vision_only("dinov2")
    for name in methods.built_in():
        method_type = methods.get(name)
        assert method_type.needs_text == (name not in WITHOUT_TEXT), name
        if method_type.needs_text:
            rule = f"^{method_type.__name__} needs a backbone with a text tower; got small-dinov2.*Remedy: use a CLIP"
            with pytest.raises(ConfigError, match=rule):
                method_type(clip)  # type: ignore[call-arg]
        else:
            method_type(clip)  # type: ignore[call-arg]


@pytest.mark.parametrize("kind", KINDS)
@torch.inference_mode()
def test_musc_finds_the_odd_ones(kind: str) -> None:
    scores = MuSc(small.vision_only(kind)).score_folder(loading(folder(6, [4])), 6, "object")
    assert scores.evidence.maps.shape == (6, 1, 8, 8)
    assert int(scores.evidence.maps.amax((1, 2, 3)).argmax()) == 4


@pytest.mark.parametrize("kind", KINDS)
@torch.inference_mode()
def test_patchcore_finds_the_odd_one(kind: str) -> None:
    images = folder(5, [4])
    method = PatchCore(small.vision_only(kind))
    method.fit_normal(images[:3])
    method.finish_fit()
    evidence = method(images[3:], ["object"] * 2)
    assert evidence.score[1] > evidence.score[0]
    assert evidence.maps[1, 0].flatten().argmax() in [row * 8 + col for row in range(2, 5) for col in range(2, 5)]


def auto(kind: str = "dinov2", **options: object) -> Auto:
    return Auto(small.vision_only(kind), AutoConfig(**({"unlike": 1.0} | options)))  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", KINDS)
@torch.inference_mode()
def test_auto_compares_a_folder_by_references_alone(kind: str) -> None:
    method = auto(kind)
    scores = method.score_folder(loading(folder(8, [2, 5])), 8, "object")
    assert set(scores_of(scores).topk(2).indices.tolist()) == {2, 5}
    assert scores.explanation == (
        f"Each image was compared with the 4 most ordinary of 8 images of this folder; small-{kind} has no text tower; "
        "nothing is known of which are normal."
    )


@torch.inference_mode()
def test_auto_compares_with_normal_images() -> None:
    images = folder(5, [4])
    method = auto()
    method.fit_normal(images[:3])
    method.finish_fit()
    score = method(images[3:], ["object"] * 2).score
    assert score[1] > score[0]
    told = "Each image was compared with 3 normal images; small-dinov2 has no text tower."
    assert method.explain(1) == told
    assert method.explain(2).startswith(f"{told} A folder of many images")


@torch.inference_mode()
def test_auto_remembers_unlabelled_images_without_the_odd_ones() -> None:
    method = auto(max_references=4)
    images = folder(6, [4])
    method.fit_unlabelled(images)
    method.finish_fit()
    assert len(method.unlabelled.image.unique()) == 2
    assert 4 not in method.unlabelled.image


@torch.inference_mode()
def test_auto_says_that_an_image_alone_cannot_be_judged() -> None:
    rule = "an image is judged by other images, or by text, which small-dinov2 has none of"
    with pytest.raises(InputError, match=rf"{rule}; got an image alone.*--normal DIR"):
        auto()(folder(1), ["object"])
    with pytest.raises(InputError, match=rf"{rule}; got fewer than two images could be compared"):
        auto().score_folder(loading(folder(3), unreadable=[0, 2]), 3, "object")
    assert not auto().score_folder(loading(folder(2), unreadable=[0, 1]), 2, "object").indices


@torch.inference_mode()
def test_auto_says_that_images_have_too_little_in_common() -> None:
    scores = auto(unlike=1e-6).score_folder(loading(folder(4)), 4, "object")
    assert len(scores.indices) == 4
    assert scores.explanation.endswith(
        "They have too little in common for this, and small-dinov2 has no text to judge by."
    )


def test_without_text_the_deviations_of_distances_are_all() -> None:
    distances = torch.tensor([[-3.0, -1.0]])
    assert Scale.of_text(None) == Scale(0.0, 1.0)
    assert joined(None, distances, Scale.of_text(None), Scale(-3.0, 0.5), 0.5).tolist() == [[0.0, 4.0]]
    assert math.isclose(float(joined(distances, distances, Scale(-3.0, 1.0), Scale(-3.0, 0.5), 1.0)[0, 1]), 3.0)

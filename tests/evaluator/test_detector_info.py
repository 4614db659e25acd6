"""A detector is known by all that decides its answers."""

from dataclasses import replace

import pytest
import torch

from tests import small
from zsad.checkpoint import Card
from zsad.evaluator.runs import detector_info
from zsad.methods.clip import ClipDetector, ClipDetectorConfig
from zsad.methods.fe_clip.method import FeClip
from zsad.predictor import Detector
from zsad.runtime import RuntimeConfig


def detector(
    seed: int = 0, runtime: RuntimeConfig | None = None, sigma: float = 4.0, learnt: float = 0, **card: object
) -> Detector:
    method = FeClip(small.frozen(seed=seed), replace(FeClip.config_type(), sigma=sigma))
    with torch.no_grad():
        for parameter in method.parameters():
            if parameter.requires_grad:
                parameter.fill_(learnt)
    return Detector(Card("fe-clip", {"sigma": sigma}, **card), method, runtime)


OURS = detector().fingerprint


def test_what_does_not_change_answers_does_not_change_it() -> None:
    assert detector(runtime=RuntimeConfig(batch_size=7), threshold=0.25).fingerprint == OURS


@pytest.mark.parametrize(
    "other",
    [
        {"seed": 1},
        {"image_size": 40},
        {"sigma": 2.0},
        {"learnt": 0.5},
        {"runtime": RuntimeConfig(precision="bf16")},
    ],
    ids=["backbone", "size", "option", "learnt", "precision"],
)
def test_what_changes_answers_changes_it(other: dict[str, object]) -> None:
    assert detector(**other).fingerprint != OURS


def test_what_is_remembered_changes_it() -> None:
    few_shot = detector()
    few_shot.method.fit_normal(small.images(1))
    assert few_shot.fingerprint != OURS


def test_another_method_of_the_same_options_is_another() -> None:
    clip = small.frozen()
    one, two = (Detector(Card(name), ClipDetector(clip, ClipDetectorConfig())) for name in ("clip", "clip-ac"))
    assert one.fingerprint != two.fingerprint


def test_it_is_named_as_it_ran() -> None:
    who = detector_info(detector(runtime=RuntimeConfig(precision="bf16"), image_size=40))
    assert (who.name, who.method, who.options, who.image_size) == ("fe-clip", "fe-clip", {"sigma": 4.0}, 40)
    assert (who.precision, who.device, who.backbone, who.weights) == ("bf16", "cpu", "small", "test")
    assert (who.trained_on, who.seed, who.epochs) == ({}, None, None)

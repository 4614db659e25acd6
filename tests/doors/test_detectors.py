"""Detectors, states of training and caches of others: numbers that are none are refused, and no score is ever NaN."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

import zsad
from tests import small
from tests.doors.hostile import ACTING, FORMS, entry, written
from zsad.checkpoint import TRAINED_STATE, Card, TrainingRecord, load_trained_state, write
from zsad.errors import InputError, WeightsError
from zsad.methods.fe_clip.method import FeClip
from zsad.predictor import Detector
from zsad.runtime import RuntimeConfig
from zsad.trainer import state as training
from zsad.types import Evidence, Failure, Prediction


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """What a method learnt."""
    write(Card("fe-clip"), FeClip(small.frozen()), TrainingRecord(), tmp_path)
    return tmp_path


def change(folder: Path, **options: object) -> None:
    """Damage the first tensor that was learnt."""
    tensors = load_file(folder / TRAINED_STATE)
    name = next(name for name, one in tensors.items() if one.is_floating_point() and one.numel() > 1)
    tensors[name] = tensors[name].to(options.get("dtype", torch.float32)).clone()
    if "value" in options:
        tensors[name].view(-1)[0] = options["value"]
    save_file(tensors, folder / TRAINED_STATE)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"value": torch.nan}, "1 of the .* numbers of .* are infinite or no number"),
        ({"value": -torch.inf}, "1 of the .* numbers of .* are infinite or no number"),
        ({"value": 1e300, "dtype": torch.float64}, "1 of the .* numbers of .* are infinite or no number"),
        ({"dtype": torch.int32}, "of torch.int32"),
        ({"dtype": torch.complex64}, "of torch.complex64"),
    ],
    ids=["nan", "infinite", "too great", "integers", "complex"],
)
def test_what_a_detector_learnt_is_finite(options: dict[str, object], said: str, folder: Path) -> None:
    change(folder, **options)
    with pytest.raises(WeightsError, match=rf"trained_state\.safetensors .*{said}"):
        load_trained_state(FeClip(small.frozen()), folder)


@pytest.mark.parametrize("what", ["os.mkdir", "a pickle within torch"])
@pytest.mark.parametrize("form", FORMS)
def test_what_a_detector_learnt_does_nothing(what: str, form: str, folder: Path, tmp_path: Path) -> None:
    written(folder / TRAINED_STATE, FORMS[form](entry(ACTING[what](str(tmp_path / "it ran")))))
    with pytest.raises(WeightsError, match=r"trained_state\.safetensors must be readable"):
        load_trained_state(FeClip(small.frozen()), folder)
    assert not (tmp_path / "it ran").exists()


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes on this system")
def test_a_pipe_in_the_place_of_what_was_learnt_is_not_waited_for(folder: Path) -> None:
    (folder / TRAINED_STATE).unlink()
    os.mkfifo(folder / TRAINED_STATE)
    with pytest.raises(WeightsError, match="a folder, pipe or device"):
        load_trained_state(FeClip(small.frozen()), folder)


def test_a_state_of_training_is_finite(tmp_path: Path) -> None:
    tensors = {"model.a": torch.tensor([1.0, torch.nan])}
    training.write(training.TrainingState(0, {}, [], tensors), tmp_path)
    with pytest.raises(
        InputError, match=r"a run is resumed from a readable .*; got .*1 of the 2 numbers of model\.a are infinite"
    ):
        training.read(tmp_path)


@pytest.mark.parametrize("form", FORMS)
def test_a_state_of_training_does_nothing(form: str, tmp_path: Path) -> None:
    marker = tmp_path / "it ran"
    written(tmp_path / training.FILE, FORMS[form](entry(ACTING["os.system"](str(marker)))))
    with pytest.raises(InputError, match=r"a run is resumed from a readable resume\.safetensors"):
        training.read(tmp_path)
    assert not marker.exists()


def test_weights_that_half_precision_does_not_hold_are_refused() -> None:
    clip = small.frozen()
    with torch.no_grad():
        clip.vision.projection[0, 0] = 3.4e38  # the greatest number of bf16 is 3.39e38
    method = FeClip(clip)
    Detector(Card("fe-clip"), method)
    with pytest.raises(WeightsError, match=r"fe-clip in bf16 are finite; got 1 of the .* clip\.vision\.projection"):
        Detector(Card("fe-clip"), method, RuntimeConfig(precision="bf16"))


@pytest.mark.parametrize("odd", [np.nan, np.inf, -np.inf])
def test_a_prediction_has_finite_scores(odd: float) -> None:
    whole, damaged = np.zeros((4, 4), np.float32), np.zeros((4, 4), np.float32)
    damaged[1, 2] = odd
    Prediction("a.png", "nut", 0.5, 0.5, whole)
    for score, scores in ((odd, whole), (0.5, damaged)):
        with pytest.raises(InputError, match=r"a score is a finite number; got .* for a\.png"):
            Prediction("a.png", "nut", score, 0.5, scores)


class Unsure(FeClip):
    """A method whose score of dark images is no number."""

    def forward(self, images: Tensor, class_names: object) -> Evidence:
        dark = images.mean((1, 2, 3)) < 0
        score = torch.where(dark, torch.nan, 0.5)
        return Evidence(torch.full((len(images), 1, 4, 4), 0.5), score)


@pytest.mark.parametrize("batch_size", [1, 3])
def test_an_image_without_a_score_is_a_failure_and_the_others_go_on(batch_size: int, tmp_path: Path) -> None:
    from PIL import Image

    for name, grey in (("a", 250), ("b", 0), ("c", 250)):
        Image.new("RGB", (40, 40), (grey,) * 3).save(tmp_path / f"{name}.png")
    paths = sorted(tmp_path.glob("*.png"))
    detector = Detector(Card("fe-clip"), Unsure(small.frozen()), RuntimeConfig(batch_size=batch_size))
    answers = list(detector.stream(paths))
    assert [isinstance(answer, Failure) for answer in answers] == [False, True, False]
    assert answers[1].source == str(paths[1])
    assert "a score is a finite number; got nan" in answers[1].message
    with pytest.raises(InputError, match=r"got nan, .* for .*b\.png"):
        detector.predict(list(paths))


@pytest.mark.parametrize("weights", ["w.pt", "folder"])
def test_a_detector_that_names_hostile_weights_does_nothing(
    weights: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small.register(monkeypatch)
    marker, home = tmp_path / "it ran", tmp_path / "detector"
    path = tmp_path / (weights if weights.endswith("pt") else "folder/pytorch_model.bin")
    written(path, FORMS["archive"](entry(ACTING["os.mkdir"](str(marker)))))
    card = {"method": "clip", "backbone": "small", "weights": str(tmp_path / weights)}
    written(home / "detector.json", json.dumps(card).encode())
    with pytest.raises(WeightsError, match="holds weights of CLIP"):
        zsad.load(home)
    assert not marker.exists()


@pytest.mark.parametrize("form", FORMS)
def test_a_resnet_of_others_does_nothing(form: str, tmp_path: Path) -> None:
    """Which transformers reads."""
    from zsad.backbones import cnn

    marker = tmp_path / "it ran"
    written(tmp_path / "r" / "pytorch_model.bin", FORMS[form](entry(ACTING["os.mkdir"](str(marker)))))
    written(tmp_path / "r" / "config.json", b'{"model_type": "resnet"}')
    with pytest.raises(WeightsError, match="the weights of resnet50 are a readable folder"):
        cnn.load("resnet50", str(tmp_path / "r"))
    assert not marker.exists()


@pytest.mark.parametrize("form", FORMS)
def test_a_prompt_cache_does_nothing(form: str, tmp_path: Path) -> None:
    from zsad.backbones import prompt_cache

    first, marker = small.frozen().encode_prompts(["a nut"]), tmp_path / "it ran"
    (kept,) = (prompt_cache.cache_dir() / "prompts").iterdir()
    kept.write_bytes(FORMS[form](entry(ACTING["os.mkdir"](str(marker)))))
    torch.testing.assert_close(small.frozen().encode_prompts(["a nut"]), first, rtol=0, atol=0)
    assert not marker.exists()

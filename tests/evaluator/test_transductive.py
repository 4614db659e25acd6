"""Evaluations of detectors that score a class as one folder say so wherever they are shown."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from tests import small
from tests.evaluator.making import RESOLUTION, data, detector, left
from zsad.checkpoint import Card
from zsad.cli.evaluate import format_evaluation
from zsad.data.specification import data_set
from zsad.evaluator.evaluation import evaluate
from zsad.methods.musc import MuSc
from zsad.predictor import Detector
from zsad.reports.terminal import comparison_table
from zsad.results import store
from zsad.results.schema import Evaluation, Protocol, setting_of
from zsad.runtime import RuntimeConfig
from zsad.statistics.comparison import compare
from zsad.types import Failure


def musc(batch_size: int = 1) -> Detector:
    return Detector(Card("musc"), MuSc(small.frozen()), RuntimeConfig(batch_size=batch_size))


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str, Evaluation]:
    """Folder, data and evaluation of two classes by MuSc, and by CLIP beside it."""
    home = tmp_path_factory.mktemp("transductive")
    named = data(home / "data", "carpet", "metal_nut")
    evaluate(detector(), named, home / "clip", resolution=RESOLUTION, resamples=20)
    return home, named, evaluate(musc(), named, home / "musc", resolution=RESOLUTION, resamples=20)


def test_each_class_is_scored_as_one_folder(done: tuple[Path, str, Evaluation]) -> None:
    home, named, _ = done
    folders = store.class_folders(home / "musc")
    for name in ("carpet", "metal_nut"):
        scored = {image.source: image.score for image in store.read_images(folders["drawn", name])}
        samples = [sample for sample in data_set(named).samples if sample.class_name == name and sample.split == "test"]
        answers = musc(batch_size=3).stream([sample.image for sample in samples], name)
        for sample, answer in zip(samples, answers, strict=True):
            assert not isinstance(answer, Failure)
            assert scored[sample.source(home / "data")] == pytest.approx(answer[1].score, abs=1e-4)


def test_results_say_that_they_are_transductive(done: tuple[Path, str, Evaluation]) -> None:
    home, _, evaluation = done
    assert evaluation.detector.setting == "transductive"
    (found,) = evaluation.data_sets
    assert all(result.is_transductive for result in found.classes)
    assert all(result.explanation.startswith("8 images judged one another") for result in found.classes)
    assert any(warning.startswith("Transductive: the test images of each class") for warning in found.warnings)
    assert store.read(home / "musc") == evaluation
    assert "Transductive: the test images of a class judge one another" in " ".join(
        format_evaluation(evaluation).split()
    )
    html = (home / "musc" / store.PAGE).read_text()
    assert "transductive: the test images of a class judge one another" in html
    assert "8 images judged one another" in html
    clip = store.read(home / "clip")
    assert clip.detector.setting == "zero-shot"
    assert "ransductive" not in format_evaluation(clip)
    assert not any(result.is_transductive or result.explanation for result in clip.data_sets[0].classes)


def test_a_comparison_of_two_settings_warns(done: tuple[Path, str, Evaluation]) -> None:
    home, _, _ = done
    compared = compare(home / "clip", home / "musc", draws=100)
    (warning,) = (one for one in compared.warnings if "transductive" in one)
    assert warning.startswith("A is zero-shot, B transductive")
    assert "B  musc (transductive)" in comparison_table(compared)
    alike = compare(home / "musc", home / "musc", draws=100)
    assert not any("transductive setting" in one for one in alike.warnings)


def test_an_evaluation_is_resumed_whatever_its_setting(done: tuple[Path, str, Evaluation], tmp_path: Path) -> None:
    home, named, _ = done
    first = evaluate(musc(), named, tmp_path / "out", resolution=RESOLUTION, resamples=20)
    (store.class_folders(tmp_path / "out")["drawn", "carpet"] / store.CLASS).unlink()
    again = evaluate(musc(), named, tmp_path / "out", resolution=RESOLUTION, resamples=20)
    assert again.detector == first.detector
    assert left(tmp_path / "out") == left(home / "musc")


def test_settings_of_evaluations_that_do_not_name_them(done: tuple[Path, str, Evaluation], tmp_path: Path) -> None:
    home, _, evaluation = done
    words = json.loads((home / "clip" / store.EVALUATION).read_text())
    for changes, setting in (({}, "zero-shot"), ({"memory": 8}, "few-shot")):
        del words["detector"]["setting"]
        words["detector"] |= changes
        (tmp_path / store.EVALUATION).write_text(json.dumps(words))
        assert store.read(tmp_path).detector.setting == setting
        words["detector"]["setting"] = "any"
    shown, classes = replace(Protocol(), shots=2), store.read(home / "clip").data_sets[0].classes
    assert setting_of(evaluation.detector, shown, classes) == "few-shot"
    assert setting_of(evaluation.detector, shown, evaluation.data_sets[0].classes) == "transductive"

"""What a detector has seen is no test for it."""

from pathlib import Path

import pytest

import zsad
from tests import small
from tests.evaluator.making import RESOLUTION, data, detector
from tests.trainer.toys import register_toys
from zsad.checkpoint import Card, TrainingRecord
from zsad.errors import ConfigError, InputError
from zsad.evaluator.evaluation import evaluate
from zsad.files import content_hash
from zsad.methods.fe_clip.method import FeClip
from zsad.predictor import Detector
from zsad.trainer.training import TrainingData

QUICK = {"resolution": RESOLUTION, "resamples": 0}


def seen(folder: Path, *names: str) -> TrainingRecord:
    """Of a detector that was trained on these images."""
    return TrainingRecord(
        tuple(content_hash(folder / name) for name in names), {"classes": {"Metal nut": len(names)}, "seed": 5}
    )


def test_images_that_were_trained_on_are_refused_in_any_folder(tmp_path: Path) -> None:
    given = data(tmp_path / "data", "metal_nut", "carpet")
    record = seen(tmp_path / "data" / "metal_nut" / "test", "good/001.png", "square/005.png")
    (tmp_path / "data" / "metal_nut").rename(tmp_path / "data" / "thing")
    message = (
        r"a detector is evaluated on images that it was not trained or calibrated on and does not remember; "
        r"got 2 of 8 of thing \(drawn\)\. Remedy: name other data, or say --allow-training-data"
    )
    with pytest.raises(InputError, match=message):
        evaluate(detector(training_record=record), [given], tmp_path / "out", **QUICK)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("training", [{"classes": {"cap": 3}}, {"epochs_done": 2}])
def test_a_past_that_is_not_on_record_is_doubted(tmp_path: Path, training: dict[str, object]) -> None:
    given = data(tmp_path / "data", "metal_nut")
    (found,) = evaluate(
        detector(training_record=TrainingRecord(("a", "b"), training)), [given], tmp_path / "out", **QUICK
    ).data_sets
    assert found.warnings[0].startswith("It is not on record on which images the detector was trained")


def test_a_trained_detector_without_any_record_is_doubted(tmp_path: Path) -> None:
    trained = Detector(Card("fe-clip"), FeClip(small.frozen()))
    (found,) = evaluate(trained, [data(tmp_path / "data", "metal_nut")], tmp_path / "out", **QUICK).data_sets
    assert found.warnings[0].startswith("It is not on record on which images the detector was trained")


def test_what_was_seen_is_part_of_the_plan(tmp_path: Path) -> None:
    given = data(tmp_path / "data", "metal_nut")
    evaluate(detector(), [given], tmp_path / "out", **QUICK)
    record = seen(tmp_path / "data" / "metal_nut" / "test", "good/001.png")
    with pytest.raises(ConfigError, match="and seen"):
        evaluate(detector(training_record=record), [given], tmp_path / "out", allow_training_data=True, **QUICK)


def test_what_is_not_looked_at_is_no_leak(tmp_path: Path) -> None:
    given = data(tmp_path / "data", "metal_nut", "carpet")
    record = seen(tmp_path / "data" / "metal_nut" / "test", "good/001.png")
    (found,) = evaluate(
        detector(training_record=record), [given], tmp_path / "out", classes=["carpet"], **QUICK
    ).data_sets
    assert found.classes[0].seen_in_training == 0
    assert found.warnings == ()


def test_where_it_is_allowed_results_say_so(tmp_path: Path) -> None:
    given = data(tmp_path / "data", "metal_nut", "carpet")
    record = seen(tmp_path / "data" / "metal_nut" / "test", "good/001.png", "square/005.png")
    found = evaluate(detector(training_record=record), [given], tmp_path / "out", allow_training_data=True, **QUICK)
    (drawn,) = found.data_sets
    assert [one.seen_in_training for one in drawn.classes] == [0, 2]
    leak, name = drawn.warnings
    assert leak.startswith("metal_nut: 2 of 8 images were seen by the detector")
    assert name.startswith("The detector was trained on classes of the same name: metal_nut.")
    assert (found.detector.trained_on, found.detector.seed) == ({"Metal nut": 2}, 5)


def test_a_detector_that_was_trained_knows_what_it_was_trained_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    register_toys(monkeypatch)
    given = data(tmp_path / "data", "metal_nut", "carpet")
    options = {"backbone": "small", "weights": "random"}
    folder = zsad.train("toy-editor", TrainingData([given], classes=["carpet"]), tmp_path / "toy", **options)
    saved = tmp_path / "copy"
    zsad.load(folder).save(saved)
    for place in (folder, saved, zsad.load(saved)):
        with pytest.raises(InputError, match=r"got 8 of 8 of carpet \(drawn\)\. Remedy"):
            evaluate(place, [given], tmp_path / "out", **QUICK)
    found = evaluate(saved, [given], tmp_path / "out", classes=["metal_nut"], **QUICK)
    who = found.detector
    assert (who.name, who.method, who.seed, who.epochs, who.trained_on) == ("copy", "toy-editor", 111, 2, {"carpet": 8})


def test_images_that_are_remembered_are_refused(tmp_path: Path) -> None:
    given = data(tmp_path / "data", "metal_nut")
    few_shot = Detector(Card("fe-clip"), FeClip(small.frozen()))
    few_shot.fit_normal([tmp_path / "data" / "metal_nut" / "test" / "good" / "002.png"])
    with pytest.raises(InputError, match=r"got 1 of 8 of metal_nut \(drawn\)\. Remedy"):
        evaluate(few_shot, [given], tmp_path / "out", **QUICK)

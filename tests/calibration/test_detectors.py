"""Detectors that are calibrated: on which images, with which scores, and what their predictions then say."""

from dataclasses import replace
from functools import cache
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from tests import small
from tests.test_folder_pass import BrightnessRank
from zsad.calibration import upper_anomaly
from zsad.checkpoint import Card, RememberedImage, TrainingRecord
from zsad.errors import ConfigError, InputError, ZsadWarning
from zsad.files import content_hash
from zsad.loading import load
from zsad.methods.auto import Auto
from zsad.methods.clip import ClipDetector
from zsad.methods.fe_clip.method import FeClip
from zsad.methods.musc import MuSc
from zsad.methods.patchcore import PatchCore
from zsad.predictor import Detector

OTHER_STATE = "was calibrated with other options, or another size, precision or memory bank"


@cache
def png(seed: int) -> bytes:
    coarse = np.random.default_rng(seed).integers(0, 256, (4, 6, 3), np.uint8)
    stream = BytesIO()
    Image.fromarray(coarse).resize((40, 30), Image.Resampling.BILINEAR).save(stream, "PNG")
    return stream.getvalue()


def images(first: int, count: int) -> list[bytes]:
    return [png(seed) for seed in range(first, first + count)]


def zero_shot() -> Detector:
    return Detector(Card("clip", backbone="small"), ClipDetector(small.frozen()))


def few_shot(fitted: list[bytes]) -> Detector:
    torch.manual_seed(0)
    detector = Detector(Card("fe-clip", backbone="small"), FeClip(small.frozen()))
    if fitted:
        detector.fit_normal(fitted)
    return detector


def test_predictions_carry_a_decision_and_a_p_value() -> None:
    detector = zero_shot()
    normal, new = images(0, 9), images(20, 6)
    before = {one: detector.predict(png(one)) for one in range(26)}
    found = detector.calibrate(normal, criterion="fpr", target=0.2)
    ascending = sorted(before[one].score for one in range(9))
    assert list(found.normal_scores) == ascending
    assert found.threshold == np.nextafter(ascending[7], 1)  # k = ceil(10 * 0.8) = 8
    maps = sorted(upper_anomaly(before[one].anomaly_map) for one in range(9))
    assert found.pixel_threshold == np.nextafter(np.float32(maps[7]), np.float32(1))
    assert (found.criterion, found.target, found.left_out, found.class_name) == ("fpr", 0.2, 0, "object")
    for seed, prediction in zip(range(20, 26), detector.predict([*new]), strict=True):
        assert prediction.score == before[seed].score
        assert (prediction.threshold, prediction.pixel_threshold) == (found.threshold, found.pixel_threshold)
        assert prediction.p_value == (1 + sum(score >= prediction.score for score in ascending)) / 10
        assert prediction.is_anomalous == (prediction.p_value <= 0.2)
    assert before[20].p_value is before[20].is_anomalous is None


def test_labelled_images_choose_by_their_criterion() -> None:
    detector = zero_shot()
    normal, anomalous = images(0, 3), images(10, 3)
    found = detector.calibrate(normal, anomalous, criterion="tpr", target=0.5)
    scores = sorted(detector.predict(one).score for one in anomalous)
    assert (found.threshold, list(found.anomalous_scores)) == (scores[1], scores)
    assert detector.calibrate(normal, anomalous, criterion="f1").target is None


def test_the_rate_is_five_percent_where_none_is_given() -> None:
    with pytest.raises(InputError, match=r"a false-positive rate of 0\.05 needs at least 19 normal images; got 3"):
        zero_shot().calibrate(images(0, 3))


def test_too_few_images_are_refused_before_they_are_scored(monkeypatch: pytest.MonkeyPatch) -> None:
    detector = zero_shot()
    monkeypatch.setattr(Detector, "predict", lambda *_: pytest.fail("it was scored"))
    for criterion, target in (("fpr", 0.1), ("f1", None)):
        with pytest.raises(InputError, match="needs"):
            detector.calibrate(images(0, 3), criterion=criterion, target=target)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match=r"f1 takes no rate; got 0\.5"):
        detector.calibrate(images(0, 3), images(5, 1), criterion="f1", target=0.5)


def test_an_image_of_the_bank_is_compared_with_the_others_in_it() -> None:
    """As if the detector had been fitted to the others alone."""
    bank = images(0, 4)
    detector = few_shot(bank)
    outside = detector.predict(png(9)).score
    found = detector.calibrate([*bank, png(9)], criterion="fpr", target=0.4)
    expected = [few_shot([*bank[:one], *bank[one + 1 :]]).predict(bank[one]).score for one in range(4)]
    assert list(found.normal_scores) == pytest.approx(sorted([*expected, outside]), abs=1e-7)
    assert found.left_out == 4
    assert "approximately" in found.guarantee
    assert min(expected) > detector.predict(bank[expected.index(min(expected))]).score  # which would find itself
    assert detector.predict(png(9)).score == outside


def test_patchcore_leaves_out_an_image_as_well() -> None:
    def fitted(bank: list[bytes]) -> Detector:
        detector = Detector(Card("patchcore", backbone="small"), PatchCore(small.frozen()))
        detector.fit_normal(bank)
        return detector

    bank = images(0, 3)
    found = fitted(bank).calibrate(bank, criterion="fpr", target=0.4)
    expected = [fitted([one for one in bank if one is not left]).predict(left).score for left in bank]
    assert list(found.normal_scores) == pytest.approx(sorted(expected), abs=1e-6)
    assert min(expected) > 0.01


def test_of_an_image_that_was_remembered_twice_both_are_left_out() -> None:
    detector = few_shot([png(0), png(1), png(0), png(2)])
    found = detector.calibrate(images(0, 2), criterion="fpr", target=0.4)
    expected = [few_shot(images(1, 2)).predict(png(0)).score, few_shot([png(0), png(0), png(2)]).predict(png(1)).score]
    assert list(found.normal_scores) == pytest.approx(sorted(expected), abs=1e-7)


def test_without_another_image_in_the_bank_nothing_can_be_left_out() -> None:
    detector = few_shot([png(0)])
    with pytest.raises(InputError, match="compared with other images in it; got a bank of one image"):
        detector.calibrate(images(0, 2), criterion="fpr", target=0.4)
    assert len(detector.method.bank) > 0
    assert detector.calibration is None


def test_copies_count_once_and_are_told() -> None:
    detector = zero_shot()
    with pytest.warns(ZsadWarning, match="2 images are copies of another: each content counts once"):
        found = detector.calibrate([*images(0, 3), png(1), png(1)], criterion="fpr", target=0.4)
    assert len(found.normal_scores) == len(found.images) == 3


def test_an_image_is_not_of_both_states() -> None:
    with pytest.raises(InputError, match="an image is normal or anomalous; got 1 of both states, such as image 2"):
        zero_shot().calibrate(images(0, 3), [png(2)], criterion="f1")


def test_images_that_the_detector_has_seen_otherwise_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "seen.png"
    path.write_bytes(png(0))
    trained = zero_shot()
    trained.training_record = TrainingRecord((content_hash(path),))
    with pytest.raises(
        InputError, match=r"that it was not trained on; got 1 that it was trained on, such as .*seen\.png"
    ):
        trained.calibrate([str(path), *images(1, 3)], criterion="fpr", target=0.4)
    with pytest.raises(InputError, match="an anomalous image is not in the memory bank of normal ones; got image 0"):
        few_shot(images(0, 2)).calibrate(images(3, 3), [png(0)], criterion="f1")


def test_a_bank_whose_entries_are_of_unknown_images() -> None:
    """As of version 0.1.0: an image on record has no number in the bank."""
    older = few_shot(images(0, 2))
    older.method.bank.image = torch.full_like(older.method.bank.image, -1)
    older.method.bank.image_count = torch.tensor(0)
    with pytest.raises(InputError, match="the entries of an image of the memory bank are known; got image 0"):
        older.calibrate(images(0, 3), criterion="fpr", target=0.4)
    assert older.calibrate(images(4, 3), criterion="fpr", target=0.4).left_out == 0
    with pytest.warns(ZsadWarning, match="calibrate it again"):
        older.fit_normal([png(7)])  # its number in the bank is 0, but it is the third on record
    expected = few_shot(images(0, 2)).predict(png(7)).score
    assert expected in older.calibrate([png(7), png(8)], criterion="fpr", target=0.4).normal_scores


def test_images_that_are_not_on_record_are_warned_of() -> None:
    detector = few_shot([])
    detector.fit_normal([np.asarray(Image.open(BytesIO(png(0)))), np.asarray(Image.open(BytesIO(png(1))))])
    with pytest.warns(ZsadWarning, match="Some images of the memory bank are not on record"):
        detector.calibrate(images(2, 3), criterion="fpr", target=0.4)


def test_an_unlabelled_image_of_the_bank_calibrates_nothing() -> None:
    detector = few_shot(images(0, 2))
    record = detector.training_record
    detector.training_record = replace(
        record, memory=(*record.memory, RememberedImage("", record.memory[0].content, 1, is_normal=False))
    )
    with pytest.raises(InputError, match="does not remember as unlabelled; got image 0"):
        detector.calibrate(images(0, 2), criterion="fpr", target=0.4)


def test_images_that_score_one_another_are_no_calibration() -> None:
    detector = Detector(Card("clip"), BrightnessRank())
    with pytest.raises(ConfigError, match="MuSc, which scores images by one another"):
        Detector(Card("musc"), MuSc(small.frozen())).calibrate(images(0, 3), criterion="fpr", target=0.5)
    for count in (1, 3):
        with pytest.raises(ConfigError, match=r"BrightnessRank, which scores images by one another.*zsad fit"):
            detector.calibrate(images(0, count), criterion="fpr", target=0.5)


def test_auto_is_calibrated_where_it_remembers_images() -> None:
    detector = Detector(Card("auto"), Auto(small.frozen()))
    with pytest.raises(ConfigError, match="Auto, which scores images by one another"):
        detector.calibrate(images(0, 3), criterion="fpr", target=0.4)
    detector.fit_normal(images(0, 3))
    found = detector.calibrate(images(0, 5), criterion="fpr", target=0.4)
    assert found.left_out == 3
    decided = detector.predict([png(8), png(9)])
    assert [one.p_value for one in decided] == [found.p_value(one.score) for one in decided]


def test_another_class_is_not_decided(recwarn: pytest.WarningsRecorder) -> None:
    detector = zero_shot()
    detector.calibrate(images(0, 3), class_name="metal_nut", criterion="fpr", target=0.4)
    ours, theirs = detector.predict(png(5), "Metal nut"), detector.predict(png(5), "carpet")
    assert ours.p_value is not None
    assert (theirs.threshold, theirs.p_value, theirs.pixel_threshold) == (None, None, None)
    assert detector.calibration_warnings("metal nut") == []
    (warning,) = detector.calibration_warnings("carpet")
    assert warning.startswith(
        "The detector is calibrated on images of metal_nut, not of carpet: there are no decisions."
    )
    assert not recwarn


def test_a_threshold_that_is_given_decides(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small.register(monkeypatch)
    load("clip", backbone="small", weights="random", threshold=0.125).save(tmp_path)
    detector = load(tmp_path)
    found = detector.calibrate(images(0, 3), criterion="fpr", target=0.4)
    assert detector.threshold == found.threshold != 0.125  # calibration replaces it
    detector.save(tmp_path)
    again = load(tmp_path, threshold=0.75)
    prediction = again.predict(png(5))
    assert (prediction.threshold, again.threshold) == (0.75, 0.75)
    assert prediction.p_value == found.p_value(prediction.score)
    assert prediction.pixel_threshold == found.pixel_threshold
    assert again.predict(png(5), "carpet").threshold == 0.75
    assert "no p-values and pixel threshold" in again.calibration_warnings("carpet")[0]


def test_a_calibration_is_saved_with_its_detector(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small.register(monkeypatch)
    paths = [tmp_path / f"{seed}.png" for seed in range(3)]
    for seed, path in enumerate(paths):
        path.write_bytes(png(seed))
    detector = load("clip", backbone="small", weights="random")
    found = detector.calibrate([*paths], criterion="fpr", target=0.4, class_name="nut")
    detector.save(tmp_path / "saved")
    loaded = load(tmp_path / "saved")
    assert loaded.calibration == found
    assert loaded.threshold == found.threshold
    assert set(loaded.training_record.seen) == {content_hash(path) for path in paths}
    assert loaded.training_record.images == ()
    for changes in ({"image_size": 48}, {"options": {"sigma": 1.0}}, {"precision": "bf16"}):
        with pytest.warns(ZsadWarning, match=OTHER_STATE):
            other = load(tmp_path / "saved", **changes)  # type: ignore[arg-type]
        assert (other.calibration, other.threshold, other.predict(png(0), "nut").p_value) == (None, None, None)


def test_a_detector_that_remembers_more_is_calibrated_again() -> None:
    detector = few_shot(images(0, 2))
    detector.calibrate(images(5, 3), criterion="fpr", target=0.4)
    with pytest.warns(ZsadWarning, match="calibrate it again"):
        detector.fit_normal([png(3)])
    assert (detector.calibration, detector.threshold) == (None, None)


def test_a_memory_for_a_while_has_no_calibration_and_gives_it_back() -> None:
    detector = few_shot([])
    found = detector.calibrate(images(5, 3), criterion="fpr", target=0.4)
    with detector.temporary_memory(images(0, 2)):
        assert detector.calibration is None
    assert detector.calibration is found


def test_progress_counts_the_images() -> None:
    done: list[int] = []
    few_shot(images(0, 2)).calibrate(images(0, 5), criterion="fpr", target=0.4, progress=done.append)
    assert done == [1, 2, 3, 4, 5]

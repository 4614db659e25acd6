"""What a calibration says of new images, and thresholds of pixels."""

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest

from zsad.calibration import Calibration, ImageScores, choose_thresholds, pixel_threshold, upper_anomaly
from zsad.calibration.calibration import check_criterion
from zsad.errors import ConfigError, InputError

NORMAL = tuple(number / 100 for number in range(1, 20))
ONE = Calibration("fpr", 0.18, NORMAL, "nut", "f" * 64, 0.1, 0.5, (0.1, 0.3, 0.6), left_out=0)


def test_rates_and_p_values() -> None:
    """0.18 and 0.19 of 19 reach the threshold, and 0.3 and 0.6 of 3."""
    assert (ONE.false_positive_rate, ONE.true_positive_rate) == (2 / 19, 2 / 3)
    assert replace(ONE, anomalous_scores=()).true_positive_rate is None
    assert [ONE.p_value(score) for score in (0.5, 0.19, 0.0)] == [1 / 20, 2 / 20, 1.0]


def test_what_is_said() -> None:
    assert ONE.summary == "19 normal images and 3 anomalous images of nut, FPR of 0.1: threshold 0.18"
    assert ONE.guarantee.startswith(
        "Of new normal images like these, at most 0.1 are called anomalous, on average over"
    )
    assert "on 19 images the rate lies between 0.013 and 0.26 (95 %)." in ONE.guarantee
    assert "approximately" not in ONE.guarantee
    assert "This holds approximately: 4 of them are in the memory bank" in replace(ONE, left_out=4).guarantee
    labelled = replace(ONE, criterion="youden", target=None)
    assert labelled.guarantee.endswith("nothing is guaranteed of new ones.")
    assert "highest TPR - FPR" in labelled.summary


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"threshold": 1.5}, r"lie in \[0, 1\]; got 1\.5"),
        ({"pixel_threshold": -0.5}, r"lie in \[0, 1\]; got -0\.5"),
        ({"normal_scores": (0.1, 2.0)}, r"lie in \[0, 1\]; got 2\.0"),
        ({"anomalous_scores": (float("nan"),)}, r"lie in \[0, 1\]; got nan"),
        ({"normal_scores": ()}, "has scores of normal images; got none"),
        ({"target": None}, "fpr is a rate in"),
        ({"target": 1.0}, "fpr is a rate in"),
        ({"criterion": "f1"}, "f1 takes no rate; got 0.1"),
    ],
)
def test_what_is_no_calibration(changes: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        replace(ONE, **changes)  # type: ignore[arg-type]


def test_a_criterion_that_does_not_exist() -> None:
    with pytest.raises(ConfigError, match="a criterion is fpr, tpr, f1 or youden; got best"):
        check_criterion("best", None)


def test_thresholds_by_each_criterion() -> None:
    upper = [score / 2 for score in NORMAL]
    scores = ImageScores(NORMAL, upper, (0.15, 0.4, 0.5))
    found = {
        name: choose_thresholds(scores, name, target)  # type: ignore[arg-type]
        for name, target in (("fpr", 0.1), ("tpr", 0.6), ("f1", None), ("youden", None))
    }
    assert [found[name].score for name in ("tpr", "f1")] == [0.4, 0.4]  # F1 = 4/5 from 0.4, 6/11 from 0.15
    assert found["youden"].score == 0.15  # J = 1 - 5/19 from 0.15, 2/3 from 0.4
    assert found["fpr"].score == np.nextafter(0.18, 1)
    assert choose_thresholds(scores, "tpr", 1.0).score == 0.15
    assert 0.09 < found["fpr"].pixel < 0.0901  # of the 18th of the upper anomalies
    assert 0.095 < found["f1"].pixel < 0.0951  # at 5 %: the 19th


def test_what_cannot_be_calibrated() -> None:
    few = ImageScores(NORMAL[:18], NORMAL[:18])
    with pytest.raises(InputError, match="needs at least 19 normal images; got 18"):
        choose_thresholds(few, "fpr", 0.05)
    for criterion, target in (("tpr", 0.9), ("f1", None), ("youden", None)):
        with pytest.raises(
            InputError, match=f"the criterion {criterion} needs normal and anomalous images; got 18 and 0"
        ):
            choose_thresholds(few, criterion, target)  # type: ignore[arg-type]
    saturated = ImageScores([*NORMAL[:-2], 1.0, 1.0], NORMAL)
    with pytest.raises(InputError, match="leave room for a threshold; got 2 of 19 at 1"):
        choose_thresholds(saturated, "fpr", 0.05)
    assert choose_thresholds(replace(saturated, anomalous=[1.0]), "f1", None).score == 1.0


def test_few_pixels_of_an_image_may_be_higher() -> None:
    """Of 400 pixels, 2 may be above: the third highest is what counts."""
    anomaly_map = np.zeros((20, 20), np.float32)
    anomaly_map[3, 4:8] = (0.9, 0.8, 0.7, 0.6)
    assert upper_anomaly(anomaly_map) == np.float32(0.7)
    assert upper_anomaly(anomaly_map, Fraction(0)) == np.float32(0.9)
    assert upper_anomaly(np.full((3, 3), 0.25, np.float32)) == 0.25


def test_a_pixel_threshold_is_above_what_normal_images_have() -> None:
    maps = [np.full((4, 4), value, np.float32) for value in np.linspace(0.1, 0.7, 19)]
    threshold = pixel_threshold([upper_anomaly(one) for one in maps], 0.05)
    assert threshold is not None
    assert np.float32(threshold) == threshold  # also where a map of float32 is compared with it
    assert [(one >= threshold).any() for one in maps] == [False] * 19
    assert [(one >= pixel_threshold(np.linspace(0.1, 0.7, 19), 0.1)).any() for one in maps] == [False] * 18 + [True]


def test_with_few_images_pixels_take_the_lowest_rate_that_these_allow() -> None:
    assert pixel_threshold([0.25, 0.5, 0.375], 0.05) == np.nextafter(np.float32(0.5), np.float32(1))


def test_maps_at_one_have_no_pixel_threshold() -> None:
    assert pixel_threshold([1.0] * 19, 0.05) is None

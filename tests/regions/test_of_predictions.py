"""Regions of a prediction, by its own threshold for pixels or a given one."""

import numpy as np
import pytest

from zsad.errors import ConfigError
from zsad.types import Prediction

MAP = np.array([[0.9, 0.0, 0.7, 0.8]], np.float32)


def test_a_given_threshold_is_used() -> None:
    prediction = Prediction("a.png", "nut", 0.9, 0.5, MAP)
    assert [region.box for region in prediction.regions(0.75)] == [(0, 0, 1, 1), (3, 0, 1, 1)]
    assert [region.area for region in prediction.regions(0.5, min_area=2)] == [2]


def test_that_of_the_prediction_is_the_default() -> None:
    prediction = Prediction("a.png", "nut", 0.9, None, MAP, pixel_threshold=0.85)
    assert [region.box for region in prediction.regions()] == [(0, 0, 1, 1)]
    assert len(prediction.regions(0.1)) == 2


def test_without_any_threshold_they_are_refused() -> None:
    with pytest.raises(ConfigError, match="calibrate the detector"):
        Prediction("a.png", "nut", 0.9, 0.5, MAP).regions()

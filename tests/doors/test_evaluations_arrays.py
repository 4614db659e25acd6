"""Draws of an evaluation that are no numbers are refused."""

from pathlib import Path

import numpy as np
import pytest

from zsad.errors import InputError
from zsad.results import store


@pytest.mark.parametrize(
    "draws",
    [
        {"image_ap": np.array([b"text"])},
        {"image_ap": np.zeros((2, 2))},
        {"image_ap": np.zeros(3), "pixel_ap": np.zeros(4)},
        {"image_ap": np.array([np.inf])},
        {"image_ap": np.zeros(3, np.int64)},
    ],
    ids=["text", "a table", "not as many of each", "infinite", "whole numbers"],
)
def test_draws_that_are_none_are_refused(draws: dict[str, np.ndarray], tmp_path: Path) -> None:
    np.savez(tmp_path / store.DRAWS, **draws)
    with pytest.raises(InputError, match="as an evaluation writes it"):
        store.read_draws(tmp_path)

"""Keys: in order, near enough, and one to one where scores come from images or half precision."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from zsad.metrics.counters import COARSE, FAR, FINE, HALF, ONE, SPAN, stored, to_keys

FINITE = st.floats(-1.0000000150474662e30, 1.0000000150474662e30, width=32)
NEAR = st.floats(-2, 2, width=32)
UNIT = st.floats(0, 1, width=32)
CROWDED = st.builds(lambda value, power: np.float32(1) - np.float32(value) ** power, UNIT, st.integers(1, 12))


@settings(max_examples=300, deadline=None)
@given(st.lists(st.one_of(FINITE, NEAR, UNIT, CROWDED), min_size=2, max_size=50))
def test_order_is_kept(values: list[float]) -> None:
    values = np.sort(np.array(values, np.float32))
    assert (np.diff(to_keys(values)) >= 0).all()
    assert (np.diff(stored(values)) >= 0).all()
    assert np.isin(np.diff(to_keys(values)) == 0, np.diff(stored(values)) == 0).all()


@settings(max_examples=300, deadline=None)
@given(st.lists(st.one_of(FINITE, NEAR, UNIT, CROWDED), min_size=1, max_size=50))
def test_stored_values_are_near_and_stay(values: list[float]) -> None:
    values = np.array(values, np.float32).astype(np.float64)
    kept = stored(values.astype(np.float32))
    np.testing.assert_array_equal(stored(kept), kept)
    distance = np.abs(values - (values >= 0.5))
    error = np.abs(kept - values)
    assert (error <= np.maximum(distance * 2.0**-11, 2.0**-150)).all()
    assert (error <= 2.0**-20)[distance <= 0.5].all()
    assert (error <= distance * 2.0**-14)[(distance > 0.5) & (distance < 1024)].all()


@pytest.mark.parametrize("edge", [0.0, FINE, COARSE, 1 - FINE, 1.0, 1 + FINE, 1 + COARSE, FAR, 1 + FAR])
@pytest.mark.parametrize("sign", [-1, 1])
def test_order_is_kept_across_edges(edge: float, sign: int) -> None:
    start = int(np.float32(edge).view(np.int32))
    near = (np.arange(max(0, start - 20_000), start + 20_000, dtype=np.int32)).view(np.float32)
    steps = np.diff(to_keys(sign * near)) * sign
    assert (steps >= 0).all()
    assert steps.any()


def test_ends() -> None:
    largest = np.finfo(np.float32).max
    values = np.array([-largest, -0.0, 0, 0.5, 1, largest], np.float32)
    assert to_keys(values).tolist() == [-SPAN, 0, 0, HALF, ONE, ONE + SPAN]


def half_precision(kind: torch.dtype) -> np.ndarray:
    values = torch.arange(2**15, dtype=torch.int16).view(kind).float()
    return values[values <= 1].numpy()


@pytest.mark.parametrize(
    "values",
    [
        half_precision(torch.float16),
        half_precision(torch.bfloat16),
        np.arange(256, dtype=np.float32) / 255,
        np.arange(65536, dtype=np.float32) / 65535,
        np.linspace(0, 1, 2**19, dtype=np.float32),
    ],
    ids=["float16", "bfloat16", "8 bits", "16 bits", "524288 steps"],
)
def test_these_have_keys_of_their_own(values: np.ndarray) -> None:
    assert len(np.unique(to_keys(values))) == len(values)


def test_numbers_that_float32_keeps_with_few_digits_keep_them_all() -> None:
    """What is smaller than 2⁻¹²⁶ has fewer digits the smaller it is: of the least all, of the others 11 bits."""
    least = np.float32(2.0**-149) * np.arange(2**12, dtype=np.float32)
    np.testing.assert_array_equal(stored(least), least)
    tiny = np.geomspace(2.0**-149, 2.0**-120, 10_000, dtype=np.float32)
    assert (np.diff(to_keys(tiny)) >= 0).all()
    assert (np.abs(stored(tiny) - tiny) <= tiny * 2.0**-11).all()

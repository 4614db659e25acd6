"""Pixel metrics gathered batch by batch: exact for what is stored, in any order, in memory that does not grow."""

import pickle
import subprocess
import sys
import tracemalloc

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from zsad.errors import ConfigError, InputError
from zsad.metrics import PixelMetrics, Undefined, f1_max, pro, pro_200
from zsad.metrics.counters import stored

metrics = pytest.importorskip("sklearn.metrics", reason="the oracle is scikit-learn")


def drawn(count: int = 6, size: int = 40, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities that know something of squares; every third image is normal."""
    rng = np.random.default_rng(seed)
    masks = np.zeros((count, size, size), bool)
    for number in range(count):
        for row, col in rng.integers(0, size - 5, (2 * (number % 3), 2)):
            masks[number, row : row + 5, col : col + 5] = True
    logits = rng.normal(size=masks.shape) + 1.5 * masks - 1
    return (1 / (1 + np.exp(-logits))).astype(np.float32), masks


MAPS, MASKS = drawn()


def expected(maps: np.ndarray, masks: np.ndarray) -> dict[str, float]:
    scores, labels = maps.ravel(), masks.ravel()
    return {
        "auroc": metrics.roc_auc_score(labels, scores),
        "average_precision": metrics.average_precision_score(labels, scores),
        "f1_max": f1_max(scores, labels),
        "pro": pro(maps, masks),
        "pro_200": pro_200(maps, masks),
    }


def outlier(maps: np.ndarray) -> np.ndarray:
    maps = maps.copy()
    maps[1, 20, 20] *= 1000
    return maps


SHAPES = {
    "plain": lambda maps: maps,
    "in 5 steps": lambda maps: np.round(maps * 5) / 5,
    "30th power": lambda maps: maps.astype(np.float64) ** 30,
    "crowded below 1": lambda maps: 1 - (1 - maps.astype(np.float64)) ** 30,
    "one pixel times 1000": outlier,
    "within 0.01 of 0.5": lambda maps: 0.49 + 0.02 * maps,
    "logits": lambda maps: np.log(maps / (1 - maps)),
    "all below 0": lambda maps: maps - 2,
    "times 1000": lambda maps: maps * 1000,
    "10 to 11": lambda maps: 10 + maps,
}
DEFINED = sorted(set(SHAPES) - {"one pixel times 1000", "crowded below 1"})
"""Where 200 equal steps leave PRO-200 two rates."""
NEAR = sorted(set(SHAPES) - {"10 to 11"})
"""A narrow band far from [0, 1] has no more than 2048 keys."""


def without_200(values: dict[str, object]) -> dict[str, object]:
    return {name: value for name, value in values.items() if name != "pro_200"}


@pytest.mark.parametrize("shape", DEFINED)
def test_exact_for_the_stored_values(shape: str) -> None:
    maps = SHAPES[shape](MAPS).astype(np.float32)
    found = PixelMetrics().update(maps, MASKS).compute()
    assert found == pytest.approx(expected(stored(maps), MASKS), rel=0, abs=1e-9)


@pytest.mark.parametrize("shape", NEAR)
def test_within_a_ten_thousandth_of_full_precision(shape: str) -> None:
    maps = SHAPES[shape](MAPS).astype(np.float32)
    found = PixelMetrics().update(maps, MASKS).compute()
    full = PixelMetrics(precision="float32").update(maps, MASKS).compute()
    assert without_200(found) == pytest.approx(without_200(full), rel=0, abs=1e-4)


@pytest.mark.parametrize("shape", DEFINED)
def test_full_precision_is_exact(shape: str) -> None:
    maps = SHAPES[shape](MAPS).astype(np.float32)
    found = PixelMetrics(precision="float32").update(maps, MASKS).compute()
    assert found == pytest.approx(expected(maps, MASKS), rel=0, abs=1e-9)


@pytest.mark.parametrize(("shape", "rates"), [("one pixel times 1000", 1), ("crowded below 1", 0)])
def test_pro_200_says_why_there_is_none(shape: str, rates: int) -> None:
    found = PixelMetrics().update(SHAPES[shape](MAPS).astype(np.float32), MASKS).compute()["pro_200"]
    assert str(found) == f"n/a (PRO-200 needs two different rates below 0.3; got {rates})"


@settings(max_examples=40, deadline=None)
@given(
    st.permutations(range(6)),
    st.lists(st.integers(0, 6), min_size=2, max_size=2).map(sorted),
    st.sampled_from(["plain", "logits", "30th power", "times 1000"]),
    st.sampled_from(["keys", "float32"]),
)
def test_any_order_and_any_parts_give_the_same(order: list[int], cuts: list[int], shape: str, precision: str) -> None:
    # Only some of the parts have scores outside [0, 1]: their tables differ in length.
    maps = MAPS.copy()
    maps[:2] = SHAPES[shape](MAPS[:2])
    whole = PixelMetrics(precision=precision).update(maps, MASKS).compute()

    def parts() -> list[PixelMetrics]:
        gathered = [PixelMetrics(precision=precision) for _ in range(3)]
        for part, numbers in zip(gathered, np.split(np.array(order), cuts), strict=True):
            for number in numbers:
                part.update(maps[number], MASKS[number])
        return gathered

    first, second, third = parts()
    assert first.merge(second).merge(third).compute() == pytest.approx(whole, rel=0, abs=1e-12)
    first, second, third = parts()
    assert third.merge(second.merge(first)).compute() == pytest.approx(whole, rel=0, abs=1e-12)


@pytest.mark.parametrize("precision", ["keys", "float32"])
def test_merged_into_itself_counts_twice(precision: str) -> None:
    once = PixelMetrics(precision=precision).update(MAPS, MASKS)
    answers = once.compute()
    assert once.merge(once).compute() == pytest.approx(answers, rel=0, abs=1e-12)
    assert once.update(1 - MAPS, MASKS).compute() != pytest.approx(
        PixelMetrics(precision=precision).update(MAPS, MASKS).update(1 - MAPS, MASKS).compute(), rel=0, abs=1e-3
    )


def test_what_was_merged_is_unchanged() -> None:
    first, second = PixelMetrics().update(MAPS[:3], MASKS[:3]), PixelMetrics().update(MAPS[3:], MASKS[3:])
    before = second.compute()
    first.merge(second).update(MAPS, MASKS)
    assert second.compute() == before


def test_metrics_travel_between_processes() -> None:
    here = PixelMetrics().update(MAPS[:3], MASKS[:3])
    there = pickle.loads(pickle.dumps(PixelMetrics().update(MAPS[3:], MASKS[3:])))
    assert here.merge(there).compute() == pytest.approx(PixelMetrics().update(MAPS, MASKS).compute(), rel=0, abs=1e-12)


def test_memory_does_not_grow_with_the_images() -> None:
    gathered = PixelMetrics().update(MAPS, MASKS)
    tracemalloc.start()
    for seed in range(10):
        gathered.update(*drawn(seed=seed))
    grown, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert grown < 20_000


def test_arrays_may_be_written_over_afterwards() -> None:
    maps, masks = MAPS.copy(), MASKS.copy()
    gathered = PixelMetrics(precision="float32").update(maps, masks)
    maps[:], masks[:] = 0, False
    assert gathered.compute() == PixelMetrics(precision="float32").update(MAPS, MASKS).compute()


def test_tensors_and_lists_of_any_size_are_taken() -> None:
    answers = PixelMetrics().update(MAPS, MASKS).compute()
    assert PixelMetrics().update(torch.from_numpy(MAPS), torch.from_numpy(MASKS).float()).compute() == answers
    assert PixelMetrics().update(list(MAPS), list(torch.from_numpy(MASKS))).compute() == answers
    gathered = PixelMetrics()
    for maps, masks in zip(MAPS.transpose(0, 2, 1), MASKS.transpose(0, 2, 1), strict=True):
        gathered.update(maps.astype(np.float64), masks.astype(np.int64))
    assert gathered.compute() == pytest.approx(answers, rel=0, abs=1e-12)
    assert PixelMetrics().update([MAPS[1], MAPS[2, :9, :30]], [MASKS[1], MASKS[2, :9, :30]]).compute()["pro"] > 0


@pytest.mark.parametrize(("state", "counts"), [(0, "1600 and 0"), (1, "0 and 1600")])
def test_one_state_only_is_undefined_and_says_why(state: int, counts: str) -> None:
    found = PixelMetrics().update(MAPS[0], np.full((40, 40), state)).compute()
    names = {"auroc": "AUROC", "average_precision": "average precision", "f1_max": "F1-max", "pro": "PRO"}
    for key, name in {**names, "pro_200": "PRO-200"}.items():
        assert found[key] == Undefined(f"{name} needs normal and anomalous samples", counts, "add the missing class")


@pytest.mark.parametrize("precision", ["keys", "float32"])
def test_no_images_are_undefined(precision: str) -> None:
    assert {type(value) for value in PixelMetrics(precision=precision).compute().values()} == {Undefined}


def test_a_constant_map_has_all_but_pro_200() -> None:
    found = PixelMetrics().update(np.full((4, 5), 0.7), np.eye(4, 5)).compute()
    assert without_200(found) == pytest.approx({"auroc": 0.5, "average_precision": 0.2, "f1_max": 1 / 3, "pro": 0.15})
    assert "PRO-200 needs a map that is not constant" in str(found["pro_200"])


def test_a_batch_that_is_refused_adds_nothing() -> None:
    gathered, maps = PixelMetrics().update(MAPS, MASKS), MAPS.copy()
    before = gathered.compute()
    maps[5, 3, 3] = float("nan")
    with pytest.raises(InputError, match="values of map 5 are within"):
        gathered.update(maps, MASKS)
    assert gathered.compute() == before


def test_the_limit_is_that_of_pro() -> None:
    found = PixelMetrics(limit=0.1).update(MAPS, MASKS).compute()
    assert found["pro"] == pytest.approx(pro(stored(MAPS), MASKS, 0.1), abs=1e-12)
    with pytest.raises(ConfigError, match="the limit of the FPR lies in"):
        PixelMetrics(limit=0)
    with pytest.raises(ConfigError, match=r"one limit of the FPR; got 0\.1 and 0\.3"):
        PixelMetrics(limit=0.1).merge(PixelMetrics())


def test_other_precisions_are_refused() -> None:
    with pytest.raises(ConfigError, match="a precision must be one of float32, keys; got 'bins'"):
        PixelMetrics(precision="bins")
    with pytest.raises(ConfigError, match="metrics to merge have one precision; got keys and float32"):
        PixelMetrics().merge(PixelMetrics(precision="float32"))


def test_importing_the_room_loads_neither_pytorch_nor_scipy() -> None:
    code = "import sys, zsad.metrics; print(sorted({'torch', 'scipy'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"

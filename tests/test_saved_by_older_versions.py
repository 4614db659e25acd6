"""What an older version saved is read by this one, and gives the same answers (``tests/saved/README.md``)."""

import csv
import shutil
from functools import cache
from pathlib import Path

import pytest
from benchmarks import unchanged
from benchmarks.command import zsad as run
from benchmarks.unchanged import BACKBONE, FOLDERS, JUDGED, LEARNED, NAMED, RESUMED, SAVED, TRAINED, Answers

import zsad
from zsad.errors import ZsadWarning

WITHIN = 1e-5
"""Kernels for other instruction sets (AVX2, SSE) move scores and maps by up to 3e-6 from those of AVX-512."""
TRAINED_WITHIN = 1e-4
"""A first epoch trained with those moves answers by up to 4e-6; Adam's steps turn where a gradient is near 0."""
MEASURED_WITHIN = 1e-3
"""Pixels whose values are nearly the same may change places."""
BENCHMARK = SAVED / "benchmark"
OTHER = BENCHMARK / "evaluations" / "learned-to-judged" / "acd-clip-acd-clip-1" / "judged"


@cache
def expected() -> tuple[dict[str, Answers], dict[str, float]]:
    """Answers by detector, and metrics."""
    return unchanged.read()


def assert_same(ours: Answers, detector: str, within: float) -> None:
    """The answers are those of the older version."""
    theirs = expected()[0][detector]
    assert {name: one.anomaly_map.shape for name, one in ours.items()} == {
        name: one.anomaly_map.shape for name, one in theirs.items()
    }
    assert max(unchanged.difference(ours, theirs)) <= within


@pytest.mark.parametrize("detector", [*NAMED, *FOLDERS])
def test_a_detector_gives_the_same_answers(detector: str) -> None:
    assert_same(unchanged.answers(detector if detector in NAMED else SAVED / detector), detector, WITHIN)


def test_a_detector_says_once_that_its_weights_have_another_name(tmp_path: Path) -> None:
    with pytest.warns(ZsadWarning, match=rf"weights that tiny had in version 0\.1\.0: .* as {BACKBONE}") as told:
        detector = zsad.load(SAVED / FOLDERS[0])
    assert len(told) == 1
    assert detector.card.backbone == BACKBONE
    detector.save(tmp_path / "again")
    assert zsad.load(tmp_path / "again").card == detector.card
    with pytest.raises(zsad.WeightsError):
        zsad.load(SAVED / FOLDERS[0], activation="quick_gelu")


def test_answers_tell_detectors_apart() -> None:
    theirs = expected()[0]
    names = sorted(theirs)
    pairs = [(one, other) for one in names for other in names if one < other]
    assert min(max(unchanged.difference(theirs[one], theirs[other])) for one, other in pairs) > 100 * TRAINED_WITHIN


@pytest.mark.parametrize("method", TRAINED)
def test_a_recipe_trains_the_same_detector(method: str, tmp_path: Path) -> None:
    again = unchanged.answers(unchanged.trained(method, tmp_path / method))
    assert_same(again, f"detectors/{method}", TRAINED_WITHIN)


def test_a_training_run_goes_on(tmp_path: Path) -> None:
    assert_same(unchanged.answers(unchanged.resumed(tmp_path / "acd-clip")), RESUMED, TRAINED_WITHIN)


@pytest.mark.parametrize("detector", FOLDERS)
def test_what_trained_a_detector_is_refused_as_a_test(detector: str, tmp_path: Path) -> None:
    with pytest.raises(zsad.ZsadError, match=r"3 of 3 of part .*3 of 3 of surface"):
        zsad.evaluate(unchanged.saved(SAVED / detector), [LEARNED], tmp_path / "evaluation")


def test_what_a_detector_remembers_is_refused_as_a_test(tmp_path: Path) -> None:
    with pytest.raises(zsad.ZsadError, match=r" 2 of 3 of surface"):
        zsad.evaluate(unchanged.saved(SAVED / "detectors" / "fe-clip-normal"), [JUDGED], tmp_path / "evaluation")


def known(metrics: dict[str, float]) -> dict[str, float]:
    """Those that the older version had."""
    return {name: metrics[name] for name in expected()[1]}


def test_an_evaluation_is_read_and_compared() -> None:
    found = unchanged.metrics(SAVED / "evaluation", beside=OTHER)
    assert known(found) == expected()[1]
    assert found["judged/surface/pixel_pro"] == 0.9850198125060402
    assert unchanged.metrics(OTHER, beside=SAVED / "evaluation").keys() == found.keys()


def test_an_evaluation_finds_the_same(tmp_path: Path) -> None:
    found = unchanged.metrics(unchanged.evaluated(tmp_path / "evaluation"), beside=SAVED / "evaluation")
    assert known(found) == pytest.approx(expected()[1], abs=MEASURED_WITHIN, rel=0)


def test_a_finished_benchmark_is_done_and_has_the_same_leaderboard(tmp_path: Path) -> None:
    copy = tmp_path / "benchmark"
    shutil.copytree(BENCHMARK, copy)
    for table in copy.glob("leaderboard.*"):
        table.unlink()
    run("benchmark", str(SAVED / "benchmark.toml"), "--data-root", str(SAVED), "--out", str(copy), cwd=tmp_path)
    assert numbers(copy / "leaderboard.csv") == numbers(BENCHMARK / "leaderboard.csv")
    records = sorted(path.relative_to(copy) for path in copy.glob("runs/*/*.json"))
    assert len(records) == 2
    assert all((copy / path).read_bytes() == (BENCHMARK / path).read_bytes() for path in records)


def numbers(table: Path) -> list[tuple[str, ...]]:
    """The lines of a leaderboard, without sentences."""
    columns = (
        "split",
        "train",
        "detector",
        "method",
        "data_set",
        "class",
        "metric",
        "value",
        "std",
        "n",
        "low",
        "high",
    )
    metrics = {name.rpartition("/")[2] for name in expected()[1]}
    with table.open(newline="", encoding="utf-8") as file:
        found = [tuple(row[name] for name in columns) for row in csv.DictReader(file) if row["metric"] in metrics]
    assert len(found) == 48
    return found

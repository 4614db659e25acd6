"""``zsad compare``."""

import json
from pathlib import Path

import pytest

from tests.results.written import evaluation
from zsad.cli.main import FAILED, main


def test_two_evaluations_are_compared_in_words_and_as_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    a, b = (str(evaluation(tmp_path / name, quality, seed)) for name, quality, seed in (("a", 0.5, 1), ("b", 2.5, 2)))
    out = tmp_path / "below" / "found.json"
    assert main(["compare", a, b, "--resamples", "200", "--out", str(out)]) == 0
    said = capsys.readouterr().out
    assert "B is better" in said
    assert "drawn, its class nut, 12 normal, 12 anomalous" in said
    assert max(map(len, said.splitlines())) <= 80
    assert main(["compare", a, f"{b}/evaluation.json", "--resamples", "200", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == json.loads(out.read_text())


def test_several_a_side(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    a, b, c = (str(evaluation(tmp_path / str(seed), 1.0, seed)) for seed in (1, 2, 3))
    assert main(["compare", a, b, "--against", c, "--resamples", "100", "--confidence", "0.9"]) == 0
    said = capsys.readouterr().out
    assert "A  1, 2 (2 evaluations)" in said
    assert "90 % interval" in said
    assert "resamples of the evaluations and images" in " ".join(said.split())


@pytest.mark.parametrize("count", [1, 3])
def test_other_numbers_are_refused(count: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compare", *[str(tmp_path)] * count]) == FAILED
    assert f"a comparison is of two evaluations, A and B; got {count}" in capsys.readouterr().err


def test_a_folder_without_an_evaluation_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compare", str(tmp_path), str(tmp_path)]) == FAILED
    assert "evaluation.json must be as an evaluation writes it" in capsys.readouterr().err

"""``zsad gallery``."""

from pathlib import Path

import pytest
from PIL import Image

from tests.evaluator.making import data
from zsad.cli.main import FAILED, main


@pytest.fixture(scope="module")
def given(tmp_path_factory: pytest.TempPathFactory) -> str:
    return data(tmp_path_factory.mktemp("data"), "metal_nut")


def run(given: str, out: Path, *options: str) -> int:
    return main(["gallery", "clip", "--data", given, "--out", str(out), *options])


def test_a_figure_of_two_detectors(given: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "figure.png"
    words = ["gallery", "clip", "clip-ac", "--data", given, "--out", str(out), "--images", "square/004.png"]
    assert main([*words, "--label", "CLIP", "--label", "CLIP-AC", "--map-only", "--backbone", "tiny"]) == 0
    assert capsys.readouterr().out == f"figure: {out} (1 image)\n"
    with Image.open(out) as image:
        lines = image.size
    assert main([*words, "--transpose", "--columns", "3"]) == 0
    with Image.open(out) as image:
        assert image.height > image.width
        assert image.size != lines


@pytest.mark.parametrize(
    "choice", [[], ["--random", "1", "--seed", "4"], ["--worst", "1"], ["--best", "1", "--max-images", "1"]]
)
def test_each_choice_of_images(
    choice: list[str], given: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(given, tmp_path / "figure.pdf", *choice) == 0
    assert f"({'1 image' if choice else '4 images'})" in capsys.readouterr().out


def test_an_evaluation_ranks(given: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    where = str(tmp_path / "evaluated")
    assert main(["evaluate", "clip", "--data", given, "--out", where, "--resolution", "40", "--no-intervals"]) == 0
    assert run(given, tmp_path / "figure.png", "--worst", "2", "--evaluation", where) == 0
    said = capsys.readouterr().out
    assert "(2 images)" in said
    assert "Ranked by" not in said
    others = str(tmp_path / "others")
    assert main(["evaluate", "clip-ac", "--data", given, "--out", others, "--resolution", "40", "--no-intervals"]) == 0
    assert run(given, tmp_path / "figure.png", "--worst", "2", "--evaluation", others) == 0
    assert (
        "! Ranked by the scores of another detector than the first: clip-ac, as evaluated." in capsys.readouterr().out
    )


def test_an_ending_that_is_no_figure_is_refused_before_any_work(
    given: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(given, tmp_path / "figure.svg") == FAILED
    assert "a figure is a file that ends in .png or .pdf; got figure.svg" in capsys.readouterr().err


def test_a_place_that_cannot_be_written_is_named_before_any_work(
    given: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_bytes(b"")
    (tmp_path / "folder.png").mkdir()
    assert run(given, tmp_path / "file" / "figure.png") == FAILED
    assert "the folder of a figure must be writable" in capsys.readouterr().err
    assert run(given, tmp_path / "folder.png") == FAILED
    assert "a figure is a file" in capsys.readouterr().err


def test_an_evaluation_that_ranks_nothing_is_refused(
    given: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(given, tmp_path / "figure.png", "--evaluation", str(tmp_path)) == FAILED
    assert "an evaluation ranks images, for --worst or --best" in capsys.readouterr().err

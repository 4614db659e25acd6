"""Drawn data sets: the tree that is read back, the same files from the same values, nothing written over."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from zsad.cli.main import main
from zsad.data.check import check
from zsad.data.decode import decode
from zsad.data.specification import data_set
from zsad.data.synthetic import KINDS, surface
from zsad.data.synthetic.dataset import COMBINED, Drawing, draw, write
from zsad.errors import ConfigError, InputError

SMALL = Drawing(pictures=12, side=48, seed=5)


def content(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def photographs(tmp_path: Path) -> Path:
    """Three flat grey pictures, on which every defect shows."""
    folder = tmp_path / "photographs"
    folder.mkdir()
    for number in range(3):
        Image.fromarray(np.full((60, 80, 3), 90 + 30 * number, np.uint8)).save(folder / f"{number}.png")
    return folder


def test_what_is_written_is_read_back_with_a_mask_for_every_defect(tmp_path: Path) -> None:
    drawn = write(SMALL, tmp_path / "drawn")
    samples = data_set(f"mvtec:{tmp_path / 'drawn'}").samples
    assert len(samples) == 12 == sum(drawn.classes.values()) == sum(drawn.kinds.values())
    assert set(drawn.classes) == {"part", "surface"}
    assert set(drawn.kinds) <= {"good", COMBINED, *(kind.replace(" ", "_") for kind in KINDS)}
    for sample in samples:
        assert decode(sample.picture).size == (48, 48)
        if sample.mask is not None:
            mask = decode(sample.mask).pixels
            assert mask.shape[:2] == (48, 48)
            assert set(np.unique(mask)) == {0, 255}
    assert sum(sample.mask is not None for sample in samples) == 12 - drawn.kinds["good"]
    checked = check([f"mvtec:{tmp_path / 'drawn'}"], [], [], 1)
    assert not checked.has_errors


def test_the_same_values_give_the_same_files_whoever_draws(tmp_path: Path) -> None:
    for name, drawing, workers in (("a", SMALL, 1), ("b", SMALL, 2), ("c", replace(SMALL, seed=6), 1)):
        write(drawing, tmp_path / name, workers)
    assert content(tmp_path / "a") == content(tmp_path / "b")
    assert content(tmp_path / "a") != content(tmp_path / "c")
    assert json.loads((tmp_path / "a" / "drawn.json").read_text())["seed"] == 5


def test_defects_are_drawn_on_photographs_and_nowhere_else(photographs: Path) -> None:
    paths = tuple(str(path) for path in sorted(photographs.iterdir()))
    drawing = replace(SMALL, photographs=paths, share=1.0, damaged=1.0, class_name="nut")
    alone = 0
    for number in range(30):
        class_name, drawn = draw(drawing, paths, number)
        assert class_name == "nut"
        assert drawn.kinds
        assert drawn.mask.any()
        outside = drawn.image[~drawn.mask]
        alone += len(outside) > 0 and np.ptp(outside) == 0  # where the whole picture was not varied on top
    assert alone > 10


def test_photographs_that_cannot_be_read_are_told_and_others_stand_in(photographs: Path, tmp_path: Path) -> None:
    (photographs / "broken.png").write_bytes(b"no picture")
    paths = tuple(str(path) for path in sorted(photographs.iterdir()))
    drawn = write(replace(SMALL, photographs=paths, share=0.5), tmp_path / "drawn")
    assert [Path(path).name for path in drawn.unreadable] == ["broken.png"]
    assert sum(drawn.classes.values()) == 12
    with pytest.raises(InputError, match="photographs can be read"):
        write(replace(SMALL, photographs=paths[-1:], share=0.5), tmp_path / "none")


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        ({"pictures": 0}, "at least one picture"),
        ({"side": 16}, "at least 32 px"),
        ({"seed": -1}, "seed is not negative"),
        ({"damaged": 1.5}, "shares lie in"),
        ({"share": 0.5}, "needs photographs"),
        ({"class_name": "a/b"}, "name of a class"),
    ],
)
def test_values_that_cannot_be_drawn_are_refused(change: dict[str, object], rule: str) -> None:
    with pytest.raises(ConfigError, match=rule):
        replace(SMALL, **change)


def test_nothing_is_written_over(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(ConfigError, match="new folder"):
        write(SMALL, tmp_path)
    with pytest.raises(ConfigError, match="at least one process"):
        write(SMALL, tmp_path / "drawn", workers=0)
    (tmp_path / "file").write_text("a file")
    with pytest.raises(ConfigError, match="new folder"):
        write(SMALL, tmp_path / "file")
    with pytest.raises(InputError, match="can be written"):
        write(SMALL, tmp_path / "file" / "below")


def test_the_command_says_what_it_drew_and_what_comes_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Image.fromarray(surface(np.random.default_rng(0), (64, 64))[0]).save("good.png")
    words = ["data", "draw", "--out", "drawn", "--pictures", "6", "--size", "48", "--workers", "1", "--on", "good.png"]
    assert main([*words, "--class-name", "nut"]) == 0
    told = capsys.readouterr().out
    assert "6 pictures in drawn: 6 of class nut" in told
    assert "zsad train fe-clip --data mvtec:drawn --out RUN" in told
    assert max(map(len, told.splitlines())) <= 80
    assert main(words) == 2
    assert "Remedy" in capsys.readouterr().err

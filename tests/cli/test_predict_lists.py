"""Lists of images, lines of JSON, and silence: `zsad predict` among other programs."""

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import zsad
from zsad.cli.main import main

FAST = ["--detector", "clip", "--image-size", "64"]
ENTRY = "from zsad.cli.main import entry_point; entry_point()"


@pytest.fixture
def photos(tmp_path: Path) -> list[Path]:
    folder = tmp_path / "photos"
    folder.mkdir()
    paths = [folder / name for name in ("a.png", "b c.png", "d.png")]
    random = np.random.default_rng(0)
    for path in paths:
        Image.fromarray(random.integers(0, 255, (30, 40, 3), np.uint8)).save(path)
    return paths


def feed(monkeypatch: pytest.MonkeyPatch, content: bytes) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_a_list_gives_a_line_of_json_an_image_and_writes_nothing(
    photos: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    broken, gone = tmp_path / "photos" / "broken.png", tmp_path / "gone.png"
    broken.write_bytes(b"no image")
    feed(monkeypatch, "\r\n".join([str(gone), *map(str, [photos[1], broken, photos[0]]), "", ""]).encode())
    words = ["predict", "-", "--json", "--quiet", *FAST, "--threshold", "0.1", "--pixel-threshold", "0"]
    assert main(words) == 1
    captured = capsys.readouterr()
    first, *lines = [json.loads(line) for line in captured.out.splitlines()]
    assert first["source"] == str(gone)
    assert "a path to images must exist" in first["error"]
    assert [line["source"] for line in lines] == [str(path) for path in (photos[1], broken, photos[0])]
    assert lines[1].keys() == {"source", "error"}
    assert "whole image file" in lines[1]["error"]
    assert [line.partition(":")[2].split(":")[0] for line in captured.err.splitlines()] == [" left out", " skipped"]
    expected = zsad.load("clip", image_size=64, threshold=0.1).predict(str(photos[1]))
    assert (lines[0]["score"], lines[0]["setting"]) == (expected.score, "zero-shot")
    assert lines[0]["is_anomalous"] is (expected.score >= 0.1)
    assert (lines[0]["rows"], lines[0]["cols"]) == (30, 40)
    (region,) = lines[0]["regions"]
    assert (region["box"], region["area"]) == ([0, 0, 40, 30], 1200)
    assert [path.name for path in tmp_path.iterdir()] == ["photos"]


def test_a_list_in_a_file_may_end_its_paths_in_nul_and_a_report_is_written_where_it_is_asked_for(
    photos: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    odd = tmp_path / "two\nlines.png"
    photos[2].rename(odd)
    Path("list").write_bytes(b"".join(os.fsencode(path) + b"\0" for path in (odd, photos[0], odd)))
    assert main(["predict", "@list", str(photos[1]), "--json", *FAST, "--out", "out"]) == 0
    captured = capsys.readouterr()
    lines = [json.loads(line) for line in captured.out.splitlines()]
    assert [line["source"] for line in lines] == [str(odd), str(photos[0]), str(photos[1])]
    assert lines[0]["regions"] is None
    listed = json.loads(Path("out/predictions.json").read_text())["predictions"]
    assert [(one["source"], one["score"]) for one in listed] == [(one["source"], one["score"]) for one in lines]
    assert "detector clip at 64 px on tiny" in captured.err
    assert "3 images scored and ranked" in captured.err


def test_a_path_that_begins_as_a_list_does_is_that_path(photos: list[Path], capsys: pytest.CaptureFixture[str]) -> None:
    photos[0].parent.rename("@eaDir")
    assert main(["predict", "@eaDir", "--quiet", *FAST, "--out", "out"]) == 0
    assert len(json.loads(Path("out/predictions.json").read_text())["predictions"]) == 3
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("argument", "content", "message"),
    [
        ("-", b"\n\n", "a list of images has a path in each line; got none in standard input"),
        ("@empty", b"", "none in empty"),
        ("@nowhere", b"", "a list of images is a readable file; got nowhere"),
        ("-", b"nowhere.png\n", "there is an image that can be read"),
    ],
)
def test_a_list_without_images_is_refused(
    argument: str,
    content: bytes,
    message: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    Path("empty").write_bytes(b"")
    feed(monkeypatch, content)
    assert main(["predict", argument, *FAST, "--json"]) == 2
    captured = capsys.readouterr()
    assert message in captured.err
    assert captured.out == ""


def test_a_reader_that_leaves_ends_it_in_silence(photos: list[Path]) -> None:
    """As in ``ls photos/* | zsad predict - --json --quiet | head -1``."""
    command = [sys.executable, "-c", ENTRY, "predict", "-", "--json", "--quiet", *FAST]
    running = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert running.stdin
    assert running.stdout
    assert running.stderr
    running.stdin.write("\n".join(map(str, photos * 1)).encode())
    running.stdin.close()
    running.stdout.close()
    with running:
        assert running.stderr.read() == b""
    assert running.returncode == 141

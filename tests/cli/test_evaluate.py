"""``zsad evaluate`` as a user meets it."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import zsad
from tests.evaluator.making import data, left, train
from tests.trainer.toys import register_toys
from zsad.checkpoint import IMAGES
from zsad.cli import evaluate as evaluating
from zsad.cli.main import main
from zsad.files import content_hash
from zsad.results import store

SMALL = ["--backbone", "small", "--weights", "random", "--device", "cpu", "--resolution", "40"]


DEFAULT = evaluating.RESAMPLES


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    register_toys(monkeypatch)


def test_it_prints_a_table_and_leaves_everything(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    given, out = data(tmp_path / "data", "metal_nut", "carpet"), tmp_path / "out"
    arguments = ["evaluate", "clip", "--data", given, *SMALL, "--out", str(out), "--batch-size", "3"]
    monkeypatch.setattr("sys.argv", ["/somewhere/zsad", *arguments])
    assert main(arguments) == 0
    said = capsys.readouterr()
    assert max(map(len, said.out.splitlines())) <= max(80, len(str(out)) + 20)
    found = store.read(out)
    for one in found.data_sets[0].classes:
        (line,) = [line.split() for line in said.out.splitlines() if line.startswith(one.class_name)]
        assert line[1:] == [f"{100 * metric.value:.1f}" for metric in one.metrics.values() if metric.value is not None]
    assert "95 % from" in said.out
    assert "16 images in " in said.out
    assert "maps and masks compared at 40×40 px" in said.out
    assert said.out.endswith(f"report: {out / 'report.html'}\n")
    assert (out / "report.html").stat().st_size > 1000
    assert found.command == " ".join(["zsad", *arguments])
    assert found.machine
    assert (DEFAULT, found.protocol.resamples) == (1000, 50)
    assert not said.err


def test_options_reach_the_protocol(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given, out = data(tmp_path / "data", "metal_nut", "carpet"), tmp_path / "out"
    options = [
        "--classes",
        "carpet",
        "--max-images",
        "2",
        "--no-intervals",
        "--resolution",
        "own",
        "--set",
        "sigma=1.0",
    ]
    assert main(["evaluate", "clip", "--data", given, *SMALL, "--out", str(out), *options]) == 0
    said = capsys.readouterr().out
    assert "! A quick look: at most 2 images of each class and state" in said
    assert "each image's own size" in said
    assert "% from" not in said
    found = store.read(out)
    assert (found.protocol.resolution, found.protocol.max_images, found.protocol.resamples) == (None, 2, 0)
    assert found.detector.options == {"sigma": 1.0}
    assert [one.class_name for one in found.data_sets[0].classes] == ["carpet"]


def test_shots_are_of_each_class(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given, out = data(tmp_path / "data", "metal_nut", "carpet"), tmp_path / "out"
    for hue, name in enumerate(("metal_nut", "carpet")):
        train(tmp_path / "data" / name, 3, hue)
    options = ["--image-size", "64", "--resolution", "40", "--no-intervals", "--shots", "2", "--shots-seed", "1"]
    assert main(["evaluate", "fe-clip", "--data", given, "--device", "cpu", *options, "--out", str(out)]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert (
        "Few-shot (2 shots, seed 1): each class is judged by a memory of 2 normal images of its own train split."
    ) in said
    found = store.read(out)
    assert (found.protocol.shots, found.protocol.shots_seed) == (2, 1)
    assert [[*one.shots] for one in found.data_sets[0].classes] == [
        ["carpet/train/good/000.png", "carpet/train/good/002.png"],
        ["metal_nut/train/good/000.png", "metal_nut/train/good/002.png"],
    ]
    assert main(["evaluate", "clip", "--data", given, *SMALL, "--shots", "1", "--out", str(tmp_path / "no")]) == 2
    assert "must have a few-shot mode; got clip. Remedy: choose one of" in capsys.readouterr().err


def test_images_that_cannot_be_read_are_told_and_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given = data(tmp_path / "data", "metal_nut")
    (tmp_path / "data" / "metal_nut" / "test" / "good" / "000.png").write_text("no image")
    assert main(["evaluate", "clip", "--data", given, *SMALL, "--out", str(tmp_path / "out")]) == 1
    said = capsys.readouterr()
    assert "metal_nut: 1 image left out, unreadable or with an unreadable mask" in " ".join(said.out.split())
    assert said.err.startswith("zsad: left out: ")
    assert "000.png" in said.err


def test_what_the_detector_has_seen_is_refused_unless_allowed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given, trained = data(tmp_path / "data", "metal_nut"), tmp_path / "trained"
    zsad.load("clip", backbone="small", weights="random").save(trained)
    image = tmp_path / "data" / "metal_nut" / "test" / "good" / "000.png"
    (trained / IMAGES).write_text(content_hash(image) + "\n")
    arguments = ["evaluate", str(trained), "--data", given, "--resolution", "40", "--out", str(tmp_path / "out")]
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert "got 1 of 8 of metal_nut (drawn). Remedy:" in error
    assert error.count("\n") == 1
    assert main([*arguments, "--allow-training-data"]) == 0
    assert "! metal_nut: 1 of 8 images were seen by the detector" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--data", "mvtec:nowhere"], "nowhere"),
        (["--data", "nonsense"], "a data set is LAYOUT:PATH"),
        (["--classes", "metal_nuts"], "did you mean 'metal_nut'"),
        (["--max-images", "0"], "at least one image; got 0"),
        (["--resolution", "0"], "a resolution is at least 1 px; got 0"),
        (["--device", "nonsense"], "the device must exist"),
        (["--split", "train"], "a data set has images in its split 'train'"),
    ],
)
def test_what_cannot_be_evaluated_says_why(
    words: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given, out = data(tmp_path / "data", "metal_nut"), tmp_path / "out"
    assert main(["evaluate", "clip", "--data", given, *SMALL, "--out", str(out), *words]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert not out.exists()


def test_a_resolution_is_a_number_or_own(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["evaluate", "clip", "--data", "mvtec:x", "--out", "x", "--resolution", "big"])
    assert "'big' is neither a number of pixels nor own" in capsys.readouterr().err


def test_another_evaluation_is_kept_unless_it_is_to_be_replaced(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given, out = data(tmp_path / "data", "metal_nut"), tmp_path / "out"
    arguments = ["evaluate", "clip", "--data", given, *SMALL, "--out", str(out)]
    assert main(arguments) == 0
    assert main([*arguments, "--max-images", "1"]) == 2
    assert "got another protocol and data. Remedy: say what was said at first" in capsys.readouterr().err
    assert store.read(out).protocol.max_images is None
    assert main([*arguments, "--max-images", "1", "--overwrite"]) == 0
    assert store.read(out).protocol.max_images == 1


@pytest.mark.parametrize("words", [["clip"], ["fe-clip", "--shots", "2", "--no-intervals"]], ids=["0", "2"])
def test_a_command_that_was_killed_goes_on_to_the_same_bytes(
    words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evaluating, "RESAMPLES", DEFAULT)  # as in the process
    given, out = data(tmp_path / "data", "metal_nut", "carpet", "tile"), tmp_path / "out"
    for hue, name in enumerate(("metal_nut", "carpet", "tile")):
        train(tmp_path / "data" / name, 3, hue)
    small = ["--image-size", "64", "--resolution", "64"]
    arguments = ["evaluate", *words, "--data", given, "--device", "cpu", *small, "--out"]
    command = [sys.executable, "-m", "zsad.cli.main", *arguments, str(out)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, env=os.environ) as process:
        first, ends = out / "classes" / "drawn" / "carpet" / "class.json", time.monotonic() + 120
        while not first.exists() and time.monotonic() < ends:
            time.sleep(0.002)
        process.send_signal(signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL
    assert first.exists()
    assert not (out / "evaluation.json").exists()
    done = first.read_bytes()
    assert main([*arguments, str(out)]) == 0
    assert first.read_bytes() == done
    assert main([*arguments, str(tmp_path / "whole")]) == 0
    assert left(out) == left(tmp_path / "whole")

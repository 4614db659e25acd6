"""``zsad train`` as a user meets it."""

import json
from pathlib import Path

import pytest

import zsad
from tests.trainer.toys import draw, register_toys
from zsad.cli.main import main

SMALL = ["--backbone", "small", "--weights", "random", "--device", "cpu", "--batch-size", "4", "--epochs", "2"]


@pytest.fixture(autouse=True)
def _toys(monkeypatch: pytest.MonkeyPatch) -> None:
    register_toys(monkeypatch)


def test_it_trains_tells_and_leaves_a_detector(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    data, cache = draw(tmp_path / "data"), str(tmp_path / "cache")
    arguments = ["train", "toy-reader", "--data", data, *SMALL, "--set", "noise=0.25", "--out", "toy", "--cache", cache]
    assert main([*arguments, "--tensorboard"]) == 0
    said = capsys.readouterr()
    assert "extracting features: 8/8 images" in said.err
    assert "epoch 2/2  loss " in said.err
    assert "--detector ./toy" in said.out
    assert list(Path("toy").glob("events.out.tfevents.*"))
    assert zsad.load("./toy").card.options == {"noise": 0.25}
    assert main(arguments) == 2
    assert "a new run has a folder of its own" in capsys.readouterr().err
    assert main([*arguments, "--resume"]) == 0
    assert "epoch 1/2" not in capsys.readouterr().err


def test_positions_of_training_are_those_of_use(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data, out = draw(tmp_path / "data"), tmp_path / "out"
    words = [*SMALL, "--image-size", "40", "--position-resize"]
    assert main(["train", "toy-editor", "--data", data, *words, "bilinear", "--out", str(out)]) == 0
    assert json.loads((out / "detector.json").read_text())["position_resize"] == "bilinear"
    image = str(next((tmp_path / "data").glob("*/test/good/*.png")))
    predict = ["predict", image, "--detector", str(out), "--device", "cpu", "--out", str(tmp_path / "run")]
    assert main([*predict, "--position-resize", "bicubic"]) == 2
    assert "position_resize bicubic. Remedy: leave them as they were, train or fit" in capsys.readouterr().err
    assert main([*predict, "--position-resize", "bilinear"]) == 0


def test_what_is_left_out_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = draw(tmp_path / "data")
    next((tmp_path / "data").glob("*/ground_truth/*/*.png")).unlink()
    out = tmp_path / "out"
    assert main(["train", "toy-editor", "--data", data, *SMALL, "--out", str(out), "--resume"]) == 0
    said = capsys.readouterr().err
    assert "holds no run yet: training starts" in said
    assert "1 image left out: anomalous without a mask, or unlabelled" in said
    assert json.loads((out / "training.json").read_text())["left_out"] == 1


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["toy-editr"], "a detector must be one of"),
        (["clip"], "something to train"),
        (["missing.toml"], "readable TOML"),
        (["toy-editor", "--set", "noize=1.0"], "did you mean 'noise'"),
        (["toy-editor", "--classes", "metal_nuts"], "did you mean 'metal_nut'"),
        (["toy-editor", "--split", "train"], "images in its split 'train'"),
        (["toy-editor", "--device", "cuda:9"], "device must exist"),
        (["toy-editor", "--learning-rate", "0"], "greater than 0"),
        (["toy-editor", "--micro-batch", "0"], "images that go through at once lies in [1, "),
    ],
)
def test_what_cannot_be_trained_says_why(
    words: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = draw(tmp_path / "data")
    out = tmp_path / "out"
    assert main(["train", "--data", data, *SMALL, "--out", str(out), *words]) == 2
    assert message in capsys.readouterr().err
    assert not (out / "detector.json").exists()


def test_an_image_that_breaks_in_the_middle_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = draw(tmp_path / "data")
    broken = sorted((tmp_path / "data").glob("*/test/good/*.png"))[1]
    broken.write_bytes(broken.read_bytes()[:60])
    assert main(["train", "toy-editor", "--data", data, *SMALL, "--out", str(tmp_path / "out")]) == 2
    assert broken.name in capsys.readouterr().err


def test_memory_that_runs_out_says_what_to_lower(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(*_: object, **__: object) -> None:
        raise RuntimeError("CUDA out of memory. Tried to allocate 2 GiB")

    monkeypatch.setattr("zsad.trainer.training.train", full)
    assert main(["train", "toy-editor", "--data", draw(tmp_path / "data"), "--out", str(tmp_path / "out")]) == 2
    assert "Lower --micro-batch" in capsys.readouterr().err

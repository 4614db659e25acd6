"""``zsad calibrate``: from folders of images to a detector that decides."""

import csv
import json
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import zsad
from zsad.checkpoint import CALIBRATION, CARD
from zsad.cli.main import main
from zsad.data.synthetic import part

FAST = ["--detector", "clip", "--image-size", "64"]


def draw(folder: Path, first: int, count: int) -> Path:
    folder.mkdir()
    for number in range(first, first + count):
        Image.fromarray(part(np.random.default_rng(number), (70, 90))[0]).save(folder / f"{number}.png")
    return folder


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("images")
    folders = {"normal": draw(root / "normal", 0, 9), "new": draw(root / "new", 20, 3)}
    folders["abnormal"] = draw(root / "abnormal", 30, 2)
    return folders


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    zsad.load("clip", image_size=64, threshold=0.125).save(tmp_path / "saved")
    return tmp_path / "saved"


def rows(out: Path) -> list[dict[str, str]]:
    with (out / "predictions.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_a_detector_is_calibrated_in_its_folder_and_decides(
    folders: dict[str, Path], saved: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = {path.name: path.read_bytes() for path in saved.iterdir()}
    arguments = ["calibrate", str(saved), "--normal", str(folders["normal"]), "--fpr", "0.1", "--class-name", "nut"]
    assert main(arguments) == 0
    said = capsys.readouterr().out
    assert max(map(len, said.splitlines()[:-1])) <= 80
    assert "calibrated on 9 normal images of nut, FPR of 0.1: threshold " in said
    assert "of these, 0 of 9 normal images are called anomalous (0.0%)" in said
    assert "at most 0.1 are called anomalous" in said
    after = {path.name: path.read_bytes() for path in saved.iterdir()}
    assert {name for name in after if after[name] != before.get(name)} == {CARD, CALIBRATION}
    found = json.loads(after[CALIBRATION])
    assert (found["criterion"], found["target"], len(found["normal_scores"])) == ("fpr", 0.1, 9)
    predict = ["predict", str(folders["new"]), "--detector", str(saved), "--class-name", "nut"]
    assert main([*predict, "--out", str(tmp_path / "out")]) == 0
    said = capsys.readouterr().out
    assert "calibrated: 9 normal images of nut" in said
    for row in rows(tmp_path / "out"):
        assert float(row["p_value"]) * 10 == pytest.approx(round(float(row["p_value"]) * 10), abs=1e-4)
        assert row["is_anomalous"] == str(float(row["p_value"]) <= 0.1).lower()
        assert 0 < float(row["threshold"]) < 1
        assert 0 < float(row["pixel_threshold"]) <= 1


def test_another_class_is_ranked_and_told(
    folders: dict[str, Path], saved: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["calibrate", str(saved), "--normal", str(folders["normal"]), "--fpr", "0.1"]) == 0
    predict = ["predict", str(folders["new"]), "--detector", str(saved), "--class-name", "nut"]
    capsys.readouterr()
    assert main([*predict, "--out", str(tmp_path / "out")]) == 0
    warning = "The detector is calibrated on images of object, not of nut: there are no decisions."
    assert warning in capsys.readouterr().err
    assert warning in json.loads((tmp_path / "out/predictions.json").read_text())["warnings"][0]
    assert {(row["threshold"], row["is_anomalous"], row["p_value"]) for row in rows(tmp_path / "out")} == {("", "", "")}


def test_labelled_images_and_a_new_folder(
    folders: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    sides = ["--normal", str(folders["normal"]), "--abnormal", str(folders["abnormal"])]
    for criterion, target, words in (
        (["--f1"], None, "highest F1"),
        (["--youden"], None, "highest TPR - FPR"),
        (["--tpr", "1.0"], 1.0, "TPR of 1"),
    ):
        assert main(["calibrate", "clip", "--image-size", "64", *sides, *criterion, "--out", str(out)]) == 0
        said = capsys.readouterr().out
        assert f"9 normal images and 2 anomalous images of object, {words}: threshold" in said.replace("\n  ", " ")
        assert "nothing is guaranteed of new ones" in said.replace("\n  ", " ")
        calibration = zsad.load(out).calibration
        assert calibration is not None
        assert (calibration.criterion, calibration.target) == (criterion[0].removeprefix("--"), target)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["clip", "--fpr", "0.1"], "a calibration is saved with its detector; got the name clip and no folder"),
        (["SAVED"], "a false-positive rate of 0.05 needs at least 19 normal images; got 9; the lowest rate"),
        (["SAVED", "--image-size", "80", "--fpr", "0.1"], "in its folder as it was saved; got --image-size"),
        (["SAVED", "--set", "sigma=1", "--fpr", "0.1"], "in its folder as it was saved; got --set"),
        (["SAVED", "--f1"], "the criterion f1 needs normal and anomalous images; got 9 and 0"),
        (["SAVED", "--fpr", "1.5"], "fpr is a rate in (0, 1); got 1.5"),
        (["SAVED", "--abnormal", "SELF", "--f1"], "an image is normal or anomalous; got 9 of both states"),
        (["SAVED", "--fpr", "0.1", "--class-name", ""], "a class name says in a few words"),
    ],
)
def test_what_cannot_be_calibrated_is_one_line_and_changes_nothing(
    arguments: list[str], message: str, folders: dict[str, Path], saved: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = {path.name: path.read_bytes() for path in saved.iterdir()}
    given = [{"SAVED": str(saved), "SELF": str(folders["normal"])}.get(word, word) for word in arguments]
    assert main(["calibrate", *given, "--normal", str(folders["normal"])]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.splitlines()[-1].startswith("zsad: ")
    assert {path.name: path.read_bytes() for path in saved.iterdir()} == before


def test_a_folder_with_an_image_that_cannot_be_read_is_refused(
    folders: dict[str, Path], saved: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    normal = draw(tmp_path / "mixed", 0, 9)
    (normal / "broken.png").symlink_to(tmp_path / "nowhere")
    assert main(["calibrate", str(saved), "--normal", str(normal), "--fpr", "0.1"]) == 2
    assert "left out" in capsys.readouterr().err


def test_its_own_folder_named_as_another_is_calibrated_in_place(
    folders: dict[str, Path], saved: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(zsad.Detector, "save", lambda *_: pytest.fail("all of it was written"))
    same = str(saved) + os.sep + "."
    assert main(["calibrate", str(saved), "--normal", str(folders["normal"]), "--fpr", "0.1", "--out", same]) == 0


def test_what_calibrated_a_detector_is_refused_as_a_test(
    folders: dict[str, Path], saved: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = tmp_path / "data"
    for kind, name in (("good", "normal"), ("bad", "abnormal")):
        (data / "nut" / "test" / kind).mkdir(parents=True)
        for path in folders[name].iterdir():
            (data / "nut" / "test" / kind / path.name).write_bytes(path.read_bytes())
    assert main(["calibrate", str(saved), "--normal", str(folders["normal"]), "--fpr", "0.1"]) == 0
    capsys.readouterr()
    evaluate = ["evaluate", str(saved), "--data", f"mvtec:{data}", "--out", str(tmp_path / "out")]
    assert main(evaluate) == 2
    error = capsys.readouterr().err
    assert "that it was not trained or calibrated on and does not remember; got 9 of 11 of nut" in error

"""The command line as a user meets it."""

import json
import os
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image
from torch import Tensor

import zsad
from zsad import spreadsheets
from zsad.cli.main import main
from zsad.cli.predict import calibrating
from zsad.data.synthetic import part
from zsad.methods.clip import ClipDetector
from zsad.types import Evidence

RANDOM = ["--backbone", "tiny", "--weights", "random"]


@pytest.fixture
def mixed(tmp_path: Path) -> Path:
    """Five images of five kinds, and three files that are none."""
    folder = tmp_path / "mixed"
    folder.mkdir()
    image = Image.fromarray(part(np.random.default_rng(0), (120, 160))[0])
    image.save(folder / "good.png")
    tifffile.imwrite(folder / "deep.tiff", np.asarray(image.convert("L"), np.uint16) * 257)
    image.convert("CMYK").save(folder / "cmyk.jpg")
    exif = Image.Exif()
    exif[0x112] = 6
    image.save(folder / "rotated.jpg", exif=exif)
    image.convert("RGBA").save(folder / "rgba.png")
    whole = (folder / "cmyk.jpg").read_bytes()
    (folder / "truncated.jpg").write_bytes(whole[: len(whole) // 2])
    (folder / "text.png").write_text("no image")
    (folder / "empty.png").write_bytes(b"")
    return folder


def test_predict_scores_what_can_be_read_and_names_the_rest(
    mixed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert (
        main(["predict", str(mixed), *RANDOM, "--class-name", "metal nut", "--out", str(out), "--batch-size", "3"]) == 1
    )
    captured = capsys.readouterr()
    for name in ("truncated.jpg", "text.png", "empty.png"):
        assert re.search(rf"skipped: .*{re.escape(name)}", captured.err)
    assert "5 images scored and ranked; none is called normal or anomalous.\nuncalibrated: " in captured.out
    ranked = re.findall(r"^(0\.\d{3,})  (\S+)$", captured.out, re.MULTILINE)
    assert "3 without a score: see the lines above (exit status 1)" in captured.out
    found = json.loads((out / "predictions.json").read_text())
    sizes = {Path(item["source"]).name: (item["rows"], item["cols"]) for item in found["predictions"]}
    upright = (120, 160)
    assert sizes == {
        "cmyk.jpg": upright,
        "deep.tiff": upright,
        "good.png": upright,
        "rgba.png": upright,
        "rotated.jpg": (160, 120),
    }
    assert {Path(item["source"]).name for item in found["failures"]} == {"truncated.jpg", "text.png", "empty.png"}
    for item in found["predictions"]:
        with Image.open(out / item["map"]) as image:
            assert (image.height, image.width) == (item["rows"], item["cols"])
    assert all(item["is_anomalous"] is None for item in found["predictions"])
    scores = {Path(item["source"]).name: item["score"] for item in found["predictions"]}
    assert [name for _, name in ranked] == sorted(scores, key=lambda name: -scores[name])
    assert scores["rgba.png"] == scores["good.png"]


def test_predict_names_what_it_leaves_out_everywhere(
    mixed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, out = tmp_path / "shots", tmp_path / "out"
    folder.mkdir()
    (mixed / "good.png").rename(folder / "good.png")
    (folder / "IMG_2.CR2").write_bytes(b"II*\0\x10\0\0\0CR\2\0")
    (folder / "gone.png").symlink_to(folder / "nowhere.png")
    os.mkfifo(folder / "pipe.png")
    for name in ("notes.txt", "labels.json", "Thumbs.db"):
        (folder / name).write_text("no image")
    (folder / "@eaDir").mkdir()
    assert main(["predict", str(folder), *RANDOM, "--out", str(out)]) == 1
    captured = capsys.readouterr()
    assert re.search(
        r"left out: a camera raw file is not supported; got .*IMG_2\.CR2\. Remedy: develop it", captured.err
    )
    assert "1 image scored" in captured.out
    assert "3 without a score: see the lines above (exit status 1)." in captured.out
    assert "not taken for images: 3 other files (" in captured.out
    assert "1 hidden or thumbnail folder (@eaDir)" in captured.out.replace("\n ", "")
    found = json.loads((out / "predictions.json").read_text())
    assert {Path(one["source"]).name for one in found["failures"]} == {"IMG_2.CR2", "gone.png", "pipe.png"}
    assert found["ignored"].startswith("3 other files")
    table = (out / "predictions.csv").read_text()
    page = (out / "report.html").read_text()
    for name in ("IMG_2.CR2", "gone.png", "pipe.png"):
        assert name in table
        assert name in page


def test_text_beside_images_fails_nothing(mixed: Path, tmp_path: Path) -> None:
    folder = tmp_path / "shots"
    folder.mkdir()
    (mixed / "good.png").rename(folder / "good.png")
    (folder / "README").write_text("of today")
    assert main(["predict", str(folder), *RANDOM, "--out", str(tmp_path / "out")]) == 0


def test_a_folder_of_kinds_that_are_not_read_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a.nii.gz").write_bytes(b"\x1f\x8b")
    assert main(["predict", str(tmp_path), *RANDOM, "--out", str(tmp_path / "out")]) == 2
    said = capsys.readouterr().err
    assert "left out: an image must be a whole image file" in said
    assert "there is an image that can be read" in said


@pytest.mark.filterwarnings("always::zsad.errors.ZsadWarning")
def test_what_a_reader_should_know_stands_where_the_numbers_stand(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Within 80 columns on the terminal, in the JSON and on the page; notes also in the table."""
    grey = np.full((40, 40), 1000, np.uint16)
    grey[:20] = 1500
    for name in "abc":
        tifffile.imwrite(tmp_path / f"{name}.tif", grey, photometric="minisblack")
    out = tmp_path / "out"
    long = (
        "machined aluminium housing of a gearbox with four threaded holes and a black rubber seal, on a white belt " * 2
    )
    arguments = ["predict", str(tmp_path), "--detector", "clip", "--image-size", "64", "--class-name", long.strip()]
    assert main([*arguments, "--out", str(out)]) == 0
    captured = capsys.readouterr()
    assert "zsad: note: The class name is too long" in captured.err
    lines = captured.out.splitlines()
    assert max(map(len, lines[:-1])) <= 80
    said = captured.out.replace("\n  ", " ")
    hair = "All 3 scores lie within 0.01 of each other: they hardly tell these images apart."
    found = json.loads((out / "predictions.json").read_text())
    assert [warning.partition(":")[0] for warning in found["warnings"]] == [
        "The class name is too long",
        hair[:42],
    ]
    page, table = (out / "report.html").read_text(), (out / "predictions.csv").read_text()
    assert page.count("The class name is too long") == page.count(hair) == 1
    for doubt in found["warnings"]:
        assert f"note: {doubt}" in said
    notes = found["predictions"][0]["notes"]
    assert any("a sixteenth" in note for note in notes)
    for note in notes:
        assert f"note: 3 images: {note}" in said
        assert table.count(note) == page.count(note) == 3


def test_a_score_that_is_no_number_is_a_failure_of_its_image(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, grey in (("black", 0), ("grey", 128)):
        Image.new("RGB", (40, 40), (grey,) * 3).save(tmp_path / f"{name}.png")
    judge = ClipDetector.forward

    def broken(self: ClipDetector, images: Tensor, class_names: list[str]) -> Evidence:
        evidence = judge(self, images, class_names)
        odd = images.mean((1, 2, 3)) < -0.9  # normalised: the black one
        return replace(evidence, score=evidence.score.masked_fill(odd, float("nan")))

    monkeypatch.setattr(ClipDetector, "forward", broken)
    out = tmp_path / "out"
    assert main(["predict", str(tmp_path), "--detector", "clip", "--image-size", "64", "--out", str(out)]) == 1
    captured = capsys.readouterr()
    assert "1 image scored and ranked" in captured.out
    assert "1 without a score" in captured.out
    assert re.search(r"zsad: skipped: a score is a finite number; got nan.*black\.png", captured.err)
    found = json.loads((out / "predictions.json").read_text())
    assert [Path(one["source"]).name for one in found["failures"]] == ["black.png"]
    assert [Path(one["source"]).name for one in found["predictions"]] == ["grey.png"]


def test_a_first_image_that_fails_leaves_an_earlier_report_alone(
    mixed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["predict", str(mixed / "good.png"), *RANDOM, "--out", str(tmp_path / "out")]
    assert main(arguments) == 0
    before = (tmp_path / "out/predictions.json").read_bytes()
    for name in ("", " ", "x" * 1_000_000, "a\x1b[2Jb"):
        assert main([*arguments, "--class-name", name]) == 2
        assert "a class name says in a few words what the images show" in capsys.readouterr().err
    assert (tmp_path / "out/predictions.json").read_bytes() == before


def test_output_and_report_say_what_judged_the_images(
    mixed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["predict", str(mixed / "*g"), "--detector", "musc", "--image-size", "64", "--out", str(tmp_path / "o")]
    assert main(arguments) == 1
    out = capsys.readouterr().out
    lines = out.splitlines()
    told = " ".join(line.strip() for line in lines[2 : lines.index("")])
    assert told.startswith("transductive: 4 images judged one another by MuSc")
    assert max(map(len, lines[:-1])) <= 80
    assert "uncalibrated: give --threshold P\n" in out
    run = json.loads((tmp_path / "o" / "predictions.json").read_text())["run"]
    assert f"{run['setting']}: {run['explanation']}" == told
    rows = spreadsheets.read(tmp_path / "o" / "predictions.csv")
    assert {row["setting"] for row in rows if row["score"]} == {"transductive"}


@pytest.mark.parametrize(
    ("name", "remedy"),
    [
        ("clip", "zsad calibrate clip --normal DIR --out DIR, or --threshold P"),
        ("saved/clip", "zsad calibrate saved/clip --normal DIR, or --threshold P"),
        ("musc", "give --threshold P"),
    ],
)
def test_an_uncalibrated_detector_is_told_how_it_gets_a_threshold(name: str, remedy: str) -> None:
    assert calibrating(zsad.load(Path(name).name), name) == remedy


def test_known_good_images_are_compared_with_and_not_scored(
    mixed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("good.png", "rotated.jpg"):
        (mixed / "known").mkdir(exist_ok=True)
        (mixed / name).rename(mixed / "known" / name)
    for name in ("truncated.jpg", "text.png", "empty.png"):
        (mixed / name).unlink()
    arguments = ["predict", str(mixed), "--image-size", "64", "--out"]
    assert main([*arguments, str(tmp_path / "with"), "--normal", str(mixed / "known")]) == 0
    out = capsys.readouterr().out
    assert "remembers: 2 normal images" in out
    assert "3 images scored" in out
    assert main([*arguments, str(tmp_path / "without")]) == 0
    assert "remembers" not in capsys.readouterr().out
    found = [json.loads((tmp_path / name / "predictions.json").read_text()) for name in ("with", "without")]
    scores = [{Path(one["source"]).name: one["score"] for one in run["predictions"]} for run in found]
    assert scores[0].keys() == {"deep.tiff", "cmyk.jpg", "rgba.png"}
    assert all(scores[0][name] != scores[1][name] for name in scores[0])
    assert "2 normal images" in found[0]["run"]["memory"]
    known = ["--normal", str(mixed / "known")]
    assert main(["predict", str(mixed / "known"), *known, "--out", str(tmp_path / "no")]) == 2
    assert "not in --normal" in capsys.readouterr().err
    assert main(["predict", str(mixed), *known, "--detector", "clip", "--out", str(tmp_path / "no")]) == 2
    assert "few-shot" in capsys.readouterr().err


def test_predict_of_good_images_ends_well(mixed: Path, tmp_path: Path) -> None:
    assert main(["predict", str(mixed / "good.png"), *RANDOM, "--out", str(tmp_path / "out")]) == 0


def test_heat_maps_of_an_earlier_run_are_not_scored(
    mixed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (mixed / "inside").mkdir()
    (mixed / "good.png").rename(mixed / "inside" / "good.png")
    arguments = ["predict", str(mixed / "inside"), *RANDOM, "--out", str(mixed / "inside" / "runs")]
    for _ in range(2):
        assert main(arguments) == 0
        assert "1 image scored" in capsys.readouterr().out


def test_images_that_all_lie_in_the_output_folder_are_not_dropped_in_silence(
    mixed: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["predict", str(mixed / "good.png"), *RANDOM, "--out", str(mixed)]) == 2
    assert "outside of the output folder" in capsys.readouterr().err


def test_a_folder_named_as_a_method_does_not_hide_it(
    mixed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "clip").mkdir()
    monkeypatch.chdir(tmp_path)
    assert main(["predict", str(mixed / "good.png"), *RANDOM, "--detector", "clip", "--out", "out"]) == 0
    assert (
        main(["predict", str(mixed / "good.png"), *RANDOM, "--detector", f".{os.sep}clip{os.sep}", "--out", "b"]) == 2
    )


def test_a_disk_that_is_full_is_told_and_what_was_done_stays(
    mixed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("zsad.reports.predictions.ReportWriter._write", full)
    assert main(["predict", str(mixed / "good.png"), *RANDOM, "--out", str(out)]) == 2
    assert "zsad: [Errno 28] No space left on device" in capsys.readouterr().err
    assert (out / "report.html").is_file()


def test_the_threshold_decides(mixed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for threshold, expected in (("0", "1 anomalous"), ("1", "0 anomalous")):
        arguments = ["predict", str(mixed / "good.png"), *RANDOM, "--threshold", threshold]
        assert main([*arguments, "--out", str(tmp_path / threshold)]) == 0
        assert expected in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--detector", "winclp"], "did you mean 'winclip'?"),
        (["--backbone", "ViT-L-14-337"], "did you mean 'ViT-L-14-336'?"),
        (["--backbone", "ViT-L-14-336"], "use --weights openai"),
        ([*RANDOM, "--threshold", "7"], "a threshold lies in [0, 1]; got 7.0"),
        ([*RANDOM, "--image-size", "8"], "at least 32 px"),
        ([*RANDOM, "--batch-size", "0"], "at least one image"),
        ([*RANDOM, "--device", "nonsense"], "the device must exist"),
        ([*RANDOM, "--set", "sigmma=8"], "did you mean 'sigma'?"),
    ],
)
def test_a_wrong_option_is_one_line_that_says_what_to_do(
    arguments: list[str], message: str, mixed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["predict", str(mixed), *arguments, "--out", str(tmp_path / "out")]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.startswith("zsad: ")
    assert error.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_a_path_that_is_not_there_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["predict", str(tmp_path / "nowhere"), *RANDOM, "--out", str(tmp_path / "out")]) == 2
    assert "nowhere" in capsys.readouterr().err


def test_an_option_of_the_method_reaches_it(mixed: Path, tmp_path: Path) -> None:
    maps = []
    for sigma in ("0", "32.0"):
        arguments = ["predict", str(mixed / "good.png"), *RANDOM, "--set", f"sigma={sigma}"]
        assert main([*arguments, "--out", str(tmp_path / sigma)]) == 0
        with Image.open(tmp_path / sigma / "maps" / "good.png") as image:
            maps.append(np.asarray(image).astype(float))
    assert maps[1].std() < 0.8 * maps[0].std()


@pytest.mark.parametrize("verb", ["methods", "backbones", "datasets"])
def test_lists_fit_80_columns_and_say_the_same_as_json(
    verb: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    assert main([verb]) == 0
    text = capsys.readouterr().out
    assert max(map(len, text.splitlines())) <= 80
    assert main([verb, "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [line.split()[0] for line in text.splitlines() if not line.startswith(" ")] == [row["name"] for row in rows]
    assert len(rows) >= 3


def test_without_a_command_the_help_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    assert "score images and draw heat maps" in capsys.readouterr().err


def test_a_saved_detector_answers_as_it_did(mixed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    saved = tmp_path / "saved"
    options = {"sigma": 9.0}
    zsad.load(backbone="tiny", weights="random", image_size=96, threshold=0.25, options=options).save(saved)
    image = str(mixed / "good.png")
    assert main(["predict", image, "--detector", str(saved), "--out", str(tmp_path / "a")]) == 0
    assert "score ≥ 0.25" in capsys.readouterr().out
    typed = ["--image-size", "96", "--threshold", "0.25", "--set", "sigma=9.0"]
    assert main(["predict", image, *RANDOM, *typed, "--out", str(tmp_path / "b")]) == 0
    first, second = ((tmp_path / name / "maps" / "good.png").read_bytes() for name in "ab")
    assert first == second


def test_a_saved_detector_refuses_another_backbone(
    mixed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    zsad.load("clip", backbone="tiny", weights="random").save(tmp_path)
    card = json.loads((tmp_path / "detector.json").read_text())
    (tmp_path / "detector.json").write_text(json.dumps(card | {"fingerprint": "of other weights"}))
    arguments = ["predict", str(mixed / "good.png"), "--detector", str(tmp_path), "--out", str(tmp_path / "out")]
    assert main(arguments) == 2
    assert "must be the one that it was saved with" in capsys.readouterr().err
    assert main([*arguments, *RANDOM]) == 0


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "holds a readable detector.json"),
        ("[]", "an array instead of an object"),
        ('{"metod": "clip"}', "did you mean 'method'?"),
    ],
)
def test_a_folder_that_is_no_detector_is_named(
    content: str | None, message: str, mixed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if content is not None:
        (tmp_path / "detector.json").write_text(content)
    assert main(["predict", str(mixed), "--detector", str(tmp_path), "--out", str(tmp_path / "out")]) == 2
    assert message in capsys.readouterr().err

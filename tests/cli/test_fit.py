"""``zsad fit``: from a folder of images to a detector that remembers them."""

import json
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

import zsad
from zsad import checkpoint
from zsad.backbones import weights
from zsad.backbones.clip import Clip
from zsad.cli.fit import choose
from zsad.cli.main import main
from zsad.data.synthetic import part
from zsad.methods._few_shot import FewShot
from zsad.methods.fe_clip.method import FeClip, FeClipConfig
from zsad.predictor import Detector
from zsad.references import ReferenceBank

CELLS = 16
"""Patches of the images at the size at which the detector runs."""


@pytest.fixture
def trained(tmp_path: Path) -> Path:
    """A detector on disk as training leaves it."""
    folder = tmp_path / "trained"
    checkpoint.write(
        checkpoint.Card("fe-clip", image_size=64), FeClip(weights.load("tiny")), checkpoint.TrainingRecord(), folder
    )
    return folder


@pytest.fixture
def normal(tmp_path: Path) -> Path:
    """Five images of normal parts."""
    folder = tmp_path / "normal"
    folder.mkdir()
    for number in range(5):
        Image.fromarray(part(np.random.default_rng(number), (70, 90))[0]).save(folder / f"good {number}.png")
    return folder


def memory(folder: Path) -> tuple[Detector, FewShot]:
    detector = zsad.load(folder)
    assert isinstance(detector.method, FewShot)
    return detector, detector.method


@pytest.mark.parametrize("command", ["fit", "fit-normal"])
def test_a_detector_remembers_what_it_was_shown(
    command: str, trained: Path, normal: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert main([command, str(trained), "--normal", str(normal), "--out", str(out), "--batch-size", "2"]) == 0
    said = capsys.readouterr().out
    assert "detector fe-clip at 64 px on tiny" in said
    assert "5 normal images remembered." in said
    assert f"--detector {out}" in said
    (before, empty), (after, full) = memory(trained), memory(out)
    assert (len(empty.bank), len(full.bank)) == (0, 5 * CELLS)
    assert after.image_size == 64
    image = str(normal / "good 3.png")
    # What is remembered is at no distance from itself: half of the zero-shot answer is what remains.
    ours, alone = (detector.predict(image) for detector in (after, before))
    assert ours.score == pytest.approx(alone.score / 2, abs=1e-4)
    maps = (torch.from_numpy(ours.anomaly_map), torch.from_numpy(alone.anomaly_map) / 2)
    torch.testing.assert_close(*maps, rtol=0, atol=1e-4)


def test_what_it_was_shown_is_known_by_its_content(trained: Path, normal: Path, tmp_path: Path) -> None:
    training_record = checkpoint.TrainingRecord(("aa", "bb"), {"seed": 3})
    checkpoint.write(checkpoint.read(trained), zsad.load(trained).method, training_record, trained)
    out = tmp_path / "out"
    for shots in ("2", "5"):
        arguments = ["--normal", str(normal), "--out", str(out), "--shots", shots]
        assert main(["fit", str(trained), *arguments]) == 0
    known = [sha256(path.read_bytes()).hexdigest() for path in sorted(normal.iterdir())]
    shown = tuple(checkpoint.RememberedImage("", content, CELLS) for content in known)
    assert zsad.load(out).training_record == checkpoint.TrainingRecord(("aa", "bb", *known), {"seed": 3}, shown)
    assert zsad.load(trained).training_record == checkpoint.TrainingRecord(("aa", "bb"), {"seed": 3})
    in_memory = zsad.load(trained)
    first = min(normal.iterdir())
    in_memory.fit_normal([first.read_bytes(), first, np.zeros((20, 20, 3), np.uint8)])
    assert in_memory.training_record.images == ("aa", "bb", known[0])
    assert [one.content for one in in_memory.training_record.memory] == [known[0], known[0], ""]


def test_whose_images_are_remembered_is_kept(
    trained: Path, normal: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, arguments = tmp_path / "out", ["--normal", str(normal), "--batch-size", "2"]
    assert main(["fit", str(trained), *arguments, "--out", str(out), "--class-name", "metal nut"]) == 0
    said = capsys.readouterr().out
    assert "5 normal images remembered.\nremembers: 5 normal images of metal nut (80 patches a level)\n" in said
    assert "!" not in said
    detector = zsad.load(out)
    assert {(one.class_name, one.patches) for one in detector.training_record.memory} == {("metal nut", CELLS)}
    assert detector.memory_summary == "5 normal images of metal nut (80 patches a level)"
    assert main(["fit", str(out), *arguments, "--out", str(out), "--shots", "1", "--class-name", "lid"]) == 0
    said = capsys.readouterr().out
    assert "remembers: 5 normal images of metal nut (80 patches a level)" in said
    assert "remembers: 5 normal images of metal nut, 1 normal image of lid (96 patches a level)" in said
    assert "! One memory bank serves several classes" in said
    zsad.load(trained).save(out)
    assert zsad.load(out).memory_summary == ""
    assert not (out / checkpoint.MEMORY).exists()


def test_another_class_than_the_remembered_one_is_told_everywhere(
    trained: Path, normal: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    shown = ["--normal", str(normal), "--shots", "2", "--class-name", "metal nut", "--out", str(out)]
    assert main(["fit", str(trained), *shown]) == 0
    warning = (
        "lid is compared with normal images of another class: the memory bank holds 2 normal images of metal nut "
        "(32 patches a level)."
    )
    for words, told in ((["--class-name", "lid"], True), (["--class-name", "Metal_nut"], False), ([], False)):
        capsys.readouterr()
        assert main(["predict", str(normal), "--detector", str(out), *words, "--out", str(tmp_path / "run")]) == 0
        said = capsys.readouterr()
        assert (f"zsad: warning: {warning}" in said.err) == told
        assert "remembers: 2 normal images of metal nut (32 patches a level)" in said.out
        run = json.loads((tmp_path / "run" / "predictions.json").read_text())
        assert run["run"]["memory"] == "2 normal images of metal nut (32 patches a level)"
        assert (warning in run["warnings"]) == told
        assert (warning in (tmp_path / "run" / "report.html").read_text()) == told


def test_what_fails_on_the_way_leaves_no_memory(trained: Path, normal: Path) -> None:
    detector = zsad.load(trained)
    with pytest.raises(zsad.InputError, match="image 1"):
        detector.fit_normal([min(normal.iterdir()), b"no image"], "metal nut")
    assert detector.memory_summary == ""
    assert detector.training_record == checkpoint.TrainingRecord()


def test_what_is_remembered_for_a_while_is_forgotten_after(trained: Path, normal: Path) -> None:
    detector, images = zsad.load(trained), sorted(normal.iterdir())
    detector.fit_normal(images[:1], "lid")
    before, training_record = detector.predict(images[1]).score, detector.training_record
    with detector.temporary_memory(images[1:], "metal nut"):
        assert detector.memory_summary.startswith("1 normal image of lid, 4 normal images of metal nut")
        assert detector.predict(images[1]).score < before - 1e-3
    assert detector.training_record == training_record
    assert detector.predict(images[1]).score == before


def test_a_record_that_is_no_record_is_refused(trained: Path) -> None:
    for content in ("[]", '{"images": [{"class_name": "nut"}]}', "nonsense"):
        (trained / checkpoint.MEMORY).write_text(content)
        with pytest.raises(zsad.ConfigError, match=checkpoint.MEMORY):
            zsad.load(trained)


def test_shots_are_drawn_by_the_seed(
    trained: Path, normal: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    said = []
    for name, seed in (("a", "0"), ("b", "0"), ("c", "1")):
        arguments = ["fit", str(trained), "--normal", str(normal), "--out", str(tmp_path / name)]
        assert main([*arguments, "--shots", "2", "--seed", seed]) == 0
        said.append([line for line in capsys.readouterr().out.splitlines() if line.startswith("normal: ")])
    assert [len(lines) for lines in said] == [2, 2, 2]
    assert said[0] == said[1] != said[2]
    first, second, third = (memory(tmp_path / name)[1].bank.streams[0] for name in "abc")
    assert len(first) == 2 * CELLS
    assert first.equal(second)
    assert not first.equal(third)


def test_a_detector_that_remembers_already_keeps_that(trained: Path, normal: Path) -> None:
    arguments = ["fit", str(trained), "--normal", str(normal), "--out", str(trained), "--shots", "1"]
    for shots in (1, 2):
        assert main(arguments) == 0
        assert len(memory(trained)[1].bank) == shots * CELLS


def test_what_is_drawn_is_in_order_and_never_twice() -> None:
    images = [Path(f"{number}.png") for number in range(30)]
    assert choose(images, None, 0) == images
    assert choose(images, 30, 5) == images
    some = choose(images, 12, 5)
    assert some == sorted(set(some), key=images.index)
    assert len(some) == 12


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--shots", "6"], "at most the 5 images that there are; got 6. Remedy: say fewer"),
        (["--shots", "0"], "got 0. Remedy: say --shots 1 or more"),
        (["--normal", "nowhere"], "nowhere"),
        (["--unlabelled", "{normal}"], "either normal or unlabelled; got"),
    ],
)
def test_what_cannot_be_shown_is_refused(
    arguments: list[str], message: str, trained: Path, normal: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shown = ["fit", str(trained), "--normal", str(normal), "--out", str(tmp_path / "out")]
    assert main([*shown, *(word.format(normal=normal) for word in arguments)]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_an_image_that_cannot_be_read_is_named(
    trained: Path, normal: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (normal / "broken.png").write_text("no image")
    assert main(["fit", str(trained), "--normal", str(normal), "--out", str(tmp_path / "out")]) == 2
    assert "broken.png" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_method_without_a_few_shot_mode_is_refused(
    normal: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["fit", "clip", "--normal", str(normal), "--out", str(tmp_path / "out")]) == 2
    error = capsys.readouterr().err
    assert "must have a few-shot mode; got clip. Remedy: choose one of" in error
    assert "fe-clip" in error


def test_what_was_learnt_is_never_saved_rounded(
    trained: Path, normal: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = (trained / "trained_state.safetensors").read_bytes()
    arguments = ["fit", str(trained), "--normal", str(normal), "--out", str(trained), "--precision", "bf16"]
    assert main(arguments) == 2
    assert "fitted to normal images in fp32; got bf16" in capsys.readouterr().err
    assert (trained / "trained_state.safetensors").read_bytes() == before
    with pytest.raises(zsad.ConfigError, match=r"saved in fp32, as it was trained"):
        zsad.load(trained, precision="bf16").save(tmp_path / "rounded")


def test_what_is_left_out_is_named_and_nothing_is_remembered_without_it(
    trained: Path, normal: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (normal / "IMG_1.CR2").write_bytes(b"II*\0\x10\0\0\0CR\2\0")
    (normal / "readme.txt").write_text("good parts of today")
    assert main(["fit", str(trained), "--normal", str(normal), "--out", str(tmp_path / "out")]) == 2
    said = capsys.readouterr().err
    assert "left out: a camera raw file is not supported; got" in said
    assert "every image that is remembered can be read; got 1 file that cannot, such as" in said
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "fitted to a folder of images; got none. Remedy: say --normal DIR"),
        (["--unlabelled", "{normal}", "--shots", "2"], "drawn from the normal images; got no such folder"),
        (["--unlabelled", "{normal}"], "able to compare with unlabelled images; got fe-clip. Remedy: give images that"),
    ],
)
def test_unlabelled_images_are_for_methods_that_take_them(
    arguments: list[str], message: str, trained: Path, normal: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = [word.format(normal=normal) for word in arguments]
    assert main(["fit", str(trained), *given, "--out", str(tmp_path / "out")]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


class TakesAll(FeClip):
    """FE-CLIP with a second bank, of images that nobody has looked at."""

    takes_unlabelled = True

    def __init__(self, clip: Clip, config: FeClipConfig | None = None) -> None:
        super().__init__(clip, config)
        self.unlabelled_bank = ReferenceBank(self.bank.widths)

    def fit_unlabelled(self, images: Tensor) -> None:
        self.unlabelled_bank.add(self.reference_features(images))


def test_unlabelled_images_go_where_the_method_keeps_them(normal: Path, tmp_path: Path) -> None:
    method = TakesAll(weights.load("tiny"))
    detector = Detector(checkpoint.Card("takes-all", image_size=64), method)
    images = sorted(normal.iterdir())
    detector.fit_unlabelled(images[:3], "metal nut")
    with detector.temporary_memory(images[3:4]):
        assert (len(method.bank), len(method.unlabelled_bank)) == (CELLS, 3 * CELLS)
    assert (len(method.bank), len(method.unlabelled_bank)) == (0, 3 * CELLS)
    with pytest.raises(zsad.InputError):
        detector.fit_unlabelled([images[4], b"no image"])
    assert len(method.unlabelled_bank) == 3 * CELLS
    detector.fit_normal(images[3:], "lid")
    said = "2 normal images of lid, 3 unlabelled images (80 patches a level)"
    assert detector.memory_summary == said
    assert [image.is_normal for image in detector.training_record.memory] == [False] * 3 + [True] * 2
    assert detector.memory_warnings("cap") == [
        f"cap is compared with normal images of another class: the memory bank holds {said}.",
        "One memory bank serves several classes: what is normal for one of them counts as normal for the others.",
    ]
    checkpoint.write(detector.card, method, detector.training_record, tmp_path / "saved")
    again = TakesAll(weights.load("tiny"))
    checkpoint.load_trained_state(again, tmp_path / "saved")
    assert (len(again.bank), len(again.unlabelled_bank)) == (2 * CELLS, 3 * CELLS)
    assert checkpoint.read_training_record(tmp_path / "saved") == detector.training_record


@pytest.mark.parametrize("method", ["patchcore", "winclip"])
def test_a_method_that_is_not_trained_is_fitted_by_name(
    method: str, normal: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, small = tmp_path / "out", ["--image-size", "64"]
    assert main(["fit", method, "--normal", str(normal), "--shots", "4", "--out", str(out), *small]) == 0
    assert "4 normal images remembered." in capsys.readouterr().out
    detector = zsad.load(out)
    by_hand = zsad.load(method, image_size=64)
    images = sorted(normal.iterdir())
    by_hand.fit_normal([*choose(images, 4, 0)])
    assert len(memory(out)[1].bank) == 4 * CELLS
    for image in images:
        ours, theirs = detector.predict(image), by_hand.predict(image)
        assert ours.score == theirs.score
        assert np.array_equal(ours.anomaly_map, theirs.anomaly_map)
    for setting in ({"activation": "quick_gelu"}, {"position_resize": "bilinear"}):
        with pytest.raises(zsad.ZsadError, match=r"the backbone of .* must be the one that it was saved with"):
            zsad.load(out, **setting)
    (out / checkpoint.TRAINED_STATE).unlink()
    with pytest.raises(zsad.ZsadError, match=r"trained_state\.safetensors must be readable"):
        zsad.load(out)


def test_patchcore_without_normal_images_says_how_to_fit_it(
    normal: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "report"
    assert main(["predict", str(normal), "--detector", "patchcore", "--image-size", "64", "--out", str(out)]) == 2
    assert "zsad fit patchcore --normal DIR --out OUT" in capsys.readouterr().err
    assert not out.exists()
    several = ["--normal", str(normal / "good 0.png"), "--out", str(out)]
    assert main(["predict", str(normal), "--detector", "patchcore", "--image-size", "64", *several]) == 0

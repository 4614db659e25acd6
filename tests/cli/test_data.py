"""``zsad data check`` as a user meets it."""

import json
import shutil
from pathlib import Path

import pytest

from tests.data.trees import image, mask, mvtec_tree
from zsad.checkpoint import CARD, IMAGES, TRAINING
from zsad.cli.main import main
from zsad.data.checking.findings import KINDS
from zsad.data.specification import data_set
from zsad.trainer.images import TrainingImages

PAGE = Path(__file__).parents[2] / "docs" / "data.md"


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two data sets below ``data``, both clean, which share nothing."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    mvtec_tree(tmp_path / "data" / "parts")
    mvtec_tree(tmp_path / "data" / "caps", ("cap",), 500)
    return tmp_path / "data"


def damage(root: Path) -> None:
    """A bit of everything."""
    cut = root / "parts/nut/test/good/1.png"
    cut.write_bytes(cut.read_bytes()[:-300])
    (root / "parts/bolt/test/bent/2.png").unlink()
    mask(root / "parts/bolt/ground_truth/bent/1_mask.png", values=(0, 0, 0, 1, 2, 3, 255, 0, 0, 0, 0, 0))
    for index in range(5):
        image(root / f"parts/nut/test/scratched/{index}.png", 50 + index)
    shutil.copy(root / "caps/cap/test/good/0.png", root / "parts/nut/test/good/9.png")


def test_clean_data_sets_end_well(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "check", "mvtec:data/parts", "mvtec:data/caps"]) == 0
    out = capsys.readouterr().out
    assert out.count("  nothing found\n") == 2
    assert out.endswith("2 data sets: 0 errors, 0 warnings, 0 notes\n")


def test_warnings_alone_end_well(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    mask(root / "parts/bolt/ground_truth/bent/1_mask.png", values=(0,))
    assert main(["data", "check", "mvtec:data/parts"]) == 0
    assert "1 data set: 0 errors, 1 warning, 0 notes" in capsys.readouterr().out


def test_the_page_shows_what_is_printed(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    damage(root)
    arguments = ["data", "check", "mvtec:data/parts", "--train", "mvtec:data/caps"]
    assert main(arguments) == 1
    shown = PAGE.read_text(encoding="utf-8").partition("```text\n")[2].partition("```")[0]
    assert f"$ zsad {' '.join(arguments)}\n{capsys.readouterr().out}" == shown


def test_no_line_is_wider_than_the_terminal(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    damage(root)
    deep = root / "parts" / f"nut_{'very' * 20}_long" / "test"
    for index in range(2):
        image(deep / "bent" / f"{'long' * 20}{index}.png", 900)
        mask(deep.parent / "ground_truth" / "bent" / f"{'long' * 20}{index}.png", (3, 4))
    image(deep / "good" / "0.png", 901)
    shutil.copytree(root / "parts", root / f"parts_{'again' * 20}")
    main(["data", "check", "mvtec:data/parts", f"mvtec:data/parts_{'again' * 20}", "elpv:data/caps"])
    out = capsys.readouterr().out
    assert max(map(len, out.splitlines())) <= 80
    assert "longlonglo" in out
    for end in ("1.png", "0.png", "_long"):
        assert f"{end}\n" in out or f"{end}  " in out
    assert sum("…" in line for line in out.splitlines()) > 5


def test_json_names_every_case(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    damage(root)
    assert main(["data", "check", "mvtec:data/parts", "--json"]) == 1
    found = json.loads(capsys.readouterr().out)
    (one,) = found["data_sets"]
    assert (one["name"], one["specification"], one["is_trained_on"]) == ("parts", "mvtec:data/parts", False)
    numbers = {"class_name": "nut", "train": 2, "normal": 4, "anomalous": 8, "unlabelled": 0, "masks": 3}
    assert one["classes"][1] == numbers | {"published": None}
    findings = {finding["kind"]: finding for finding in found["findings"]}
    assert list(findings) == ["unreadable", "missing-mask", "orphan-mask", "grey-mask"]
    unpaired = findings["missing-mask"]
    scratched = [{"subject": f"nut/test/scratched/{index}.png", "detail": ""} for index in range(5)]
    assert unpaired["cases"] == scratched
    assert (unpaired["severity"], unpaired["data_sets"]) == ("error", ["parts"])
    assert unpaired["means"] == KINDS["missing-mask"]


def test_what_is_published_stands_beside_what_is_there(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (root / "parts" / "nut").rename(root / "parts" / "screw")
    shutil.rmtree(root / "parts" / "bolt")
    assert main(["data", "check", "mvtec=mvtec:data/parts"]) == 1
    out = capsys.readouterr().out
    assert "screw       2 of 320  3 of 41   3 of 119      3" in out
    assert "zipper      0 of 240  0 of 32   0 of 119      0" in out
    assert "screw  3 normal; published: 41" in out


def detector(root: Path) -> Path:
    """A folder as training on the caps leaves it."""
    folder = root / "mine"
    images = TrainingImages([one for one in data_set("mvtec:data/caps").samples if one.split == "test"], 16)
    folder.mkdir()
    (folder / IMAGES).write_text("\n".join(images.hashes(1)[0]))
    (folder / TRAINING).write_text(json.dumps({"classes": {"cap": 6}}))
    (folder / CARD).write_text(json.dumps({"method": "fe-clip"}))
    return folder


def test_what_a_detector_has_seen_is_told(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = str(detector(root))
    assert main(["data", "check", "mvtec:data/parts", "--detector", folder]) == 0
    assert main(["data", "check", "mvtec:data/caps", "--detector", folder]) == 1
    out = capsys.readouterr().out
    assert "seen-in-training: 6 of 8 images seen in training by detector mine" in out
    assert "class-name: detector mine was trained on 1 class of the same name" in out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["mvtek:data/parts"], "did you mean 'mvtec'?"),
        (["data/parts"], "a data set is LAYOUT:PATH"),
        (["mvtec:data/parts", "mvtec:data/nowhere"], "nowhere"),
        (["mvtec:data/parts", "--train", "mvtec:data/nowhere"], "nowhere"),
        (["mvtec:data/parts", "--detector", "data/parts"], "point at a saved detector"),
    ],
)
def test_what_cannot_be_checked_is_one_line(
    arguments: list[str], message: str, root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["data", "check", *arguments]) == 2
    captured = capsys.readouterr()
    assert message in captured.err
    assert captured.err.count("\n") == 1
    assert captured.out == ""


def test_a_folder_of_another_layout_does_not_hide_the_rest(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "check", "elpv:data/parts", "mvtec:data/caps"]) == 1
    out = capsys.readouterr().out
    assert "error    layout: ELPV has a labels.csv" in out
    assert "caps: mvtec:data/caps" in out

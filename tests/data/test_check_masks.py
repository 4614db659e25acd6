"""Checks of data sets: masks that are missing, of nothing, or beside their images."""

import json
import shutil
from pathlib import Path

import pytest
from PIL import Image

from tests.data.test_check import said
from tests.data.trees import image, mask, mvtec_tree
from zsad.data import layouts
from zsad.data.checking.check import check
from zsad.data.checking.ground_truth import ground_truth_findings
from zsad.data.checking.inspection import InspectedDataSet, inspect
from zsad.data.layouts import PublishedCount, Sample
from zsad.data.specification import DataSet


def test_the_threshold_of_a_lossy_mask_is_told(tmp_path: Path) -> None:
    root = mvtec_tree(tmp_path)
    path = root / "nut/ground_truth/bent/1_mask.png"
    stripes = Image.open(path)
    stripes.save(path, "JPEG", quality=30)
    ((kind, _, ((name, detail),)),) = said(check([f"mvtec:{root}"]))
    assert (kind, name) == ("lossy-mask", "nut/ground_truth/bent/1_mask.png")
    assert detail.endswith("anomalous above 127")


def test_masks_are_not_missed_where_a_data_set_has_none(tmp_path: Path) -> None:
    root = mvtec_tree(tmp_path)
    for name in ("nut", "bolt"):
        shutil.rmtree(root / name / "ground_truth")
    assert said(check([f"mvtec:{root}"])) == []


def test_masks_are_missed_where_they_were_published(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    published = mvtec_tree(tmp_path / "mvtec", ("screw", "bottle"))
    count = PublishedCount(normal=3, anomalous=3, train=2)
    monkeypatch.setattr(layouts.get("mvtec"), "counts", {"screw": count, "bottle": count})
    for name in ("screw", "bottle"):
        shutil.rmtree(published / name / "ground_truth")
    cases = [(f"{name}/test/bent/{index}.png", "") for name in ("bottle", "screw") for index in range(3)]
    checked = check([f"mvtec:{published}"])
    assert said(checked) == [("missing-mask", "warning", cases)]
    assert "no pixel metrics" in checked.findings[0].message
    assert said(check([f"parts=mvtec:{published}"])) == []
    monkeypatch.setattr(layouts.get("mvtec"), "has_masks", False)
    assert said(check([f"mvtec:{published}"])) == []


def test_folders_of_masks_for_normal_images_hold_no_orphans(tmp_path: Path) -> None:
    root = mvtec_tree(tmp_path)
    for name in ("ground_truth/good/0.png", "ground_truth/good/7.png", "loose/ground_truth/bent/1.png"):
        mask(root / "nut" / name, values=(0,))
    names = ["nut/ground_truth/good/0.png", "nut/ground_truth/good/7.png", "nut/loose/ground_truth/bent/1.png"]
    assert said(check([f"mvtec:{root}"])) == [("unused-image", "note", [(name, "") for name in names])]


def test_masks_that_a_list_names_and_nobody_made(tmp_path: Path) -> None:
    image(tmp_path / "images/1.png", 1)
    line = {"image_path": "images/1.png", "label": 1, "class_name": "nut", "mask_path": "masks/1.png"}
    (tmp_path / "list.jsonl").write_text(json.dumps(line))
    checked = check([f"jsonl:{tmp_path}"])
    assert said(checked) == [("missing", "warning", [("masks/1.png", "")])]
    assert checked.findings[0].message == "1 mask that the data set names is missing: no pixel metrics for them"


# --- masks of a data set whose folders hold images and masks together ---


def together(root: Path, *, marked: bool) -> InspectedDataSet:
    """A normal and an anomalous image with their masks beside them, and a mask of nothing."""
    samples = [
        Sample(image(root / "1.png", 1), 0, "belt", "good", root / "1_GT.png" if marked else None, "test"),
        Sample(image(root / "2.png", 2), 1, "belt", "worn", root / "2_GT.png", "test"),
    ]
    for number in (1, 2, 3):
        mask(root / f"{number}_GT.png")
    return InspectedDataSet("belts", DataSet("belts", "folder", root, tuple(samples)), tuple(inspect(samples, 1)))


def test_the_mask_of_a_normal_image_is_no_orphan(tmp_path: Path) -> None:
    (finding,) = ground_truth_findings(together(tmp_path, marked=False))
    assert (finding.kind, [case.subject for case in finding.cases]) == ("orphan-mask", ["3_GT.png"])


def test_a_normal_image_has_no_anomalous_pixels(tmp_path: Path) -> None:
    kinds = {
        one.kind: [case.subject for case in one.cases] for one in ground_truth_findings(together(tmp_path, marked=True))
    }
    assert kinds == {"conflicting-label": ["1_GT.png"], "orphan-mask": ["3_GT.png"]}


# --- masks that may be read wrongly ---


def test_what_may_be_wrong_with_a_mask_is_told(tmp_path: Path) -> None:
    root = mvtec_tree(tmp_path)
    path = root / "nut/ground_truth/bent/1_mask.png"
    Image.new("RGB", (16, 12), (90, 40, 30)).save(path)
    stamp = Image.open(path).copy()
    stamp.paste((255, 0, 0), (4, 4, 8, 8))
    stamp.save(path)
    assert said(check([f"mvtec:{root}"])) == [
        ("coloured-background", "warning", [("nut/ground_truth/bent/1_mask.png", "")])
    ]


def test_inverted_masks_are_told(tmp_path: Path) -> None:
    root = mvtec_tree(tmp_path)
    mask(root / "nut/ground_truth/bent/1_mask.png", values=(255, 255, 255, 0))
    assert said(check([f"mvtec:{root}"])) == [
        ("mostly-anomalous", "warning", [("nut/ground_truth/bent/1_mask.png", "75% of the pixels")])
    ]


def test_masks_of_images_that_exif_turns_are_counted(tmp_path: Path) -> None:
    root = mvtec_tree(tmp_path)
    exif = Image.Exif()
    exif[0x0112] = 3
    Image.open(root / "nut/test/bent/1.png").copy().save(root / "nut/test/bent/1.png", exif=exif)
    ((kind, severity, ((name, _),)),) = said(check([f"mvtec:{root}"]))
    assert (kind, severity, name) == ("turned-mask", "warning", "nut/ground_truth/bent/1_mask.png")


def test_several_masks_of_an_image_are_looked_at_each(tmp_path: Path) -> None:
    """An empty one among them leaves something marked; one of another size or kind does not hide behind the first."""
    root = mvtec_tree(tmp_path)
    folder = root / "nut/ground_truth/bent"
    (folder / "1_mask.png").unlink()
    mask(folder / "1/0.png", values=(0,))
    mask(folder / "1/1.png")
    checked = check([f"mvtec:{root}"])
    assert said(checked) == []
    assert {one.class_name: one.masks for one in checked.data_sets[0].classes} == {"bolt": 3, "nut": 4}
    mask(folder / "1/1.png", (16, 12))
    (folder / "1/2.png").write_bytes(b"GIF")
    assert [(kind, [name for name, _ in cases]) for kind, _, cases in said(check([f"mvtec:{root}"]))] == [
        ("unreadable", ["nut/ground_truth/bent/1/2.png"]),
        ("mask-size", ["nut/ground_truth/bent/1/1.png"]),
    ]

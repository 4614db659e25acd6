"""Checks of data sets: what lies in the folder and is not used is named, or counted."""

import json
import os
import unicodedata
from pathlib import Path

from tests.data.test_check import said
from tests.data.trees import image, mask, mvtec_tree
from zsad.data.checking.check import check

HEIC = b"\0\0\0\x18ftypheic\0\0\0\0heicmif1" + bytes(100)
RAW = b"FUJIFILMCCD-RAW 0201" + bytes(100)


def test_images_of_kinds_that_are_not_read_are_named(tmp_path: Path) -> None:
    root = mvtec_tree(tmp_path)
    (root / "nut/test/bent/7.RAF").write_bytes(RAW)
    (root / "nut/test/bent/8.npy").write_bytes(b"\x93NUMPY" + bytes(50))
    (root / "nut/ground_truth/bent/8.npy").write_bytes(b"\x93NUMPY" + bytes(50))
    (root / "nut/walk.mp4").write_bytes(b"\0\0\0\x18ftypisom" + bytes(50))
    checked = check([f"mvtec:{root}"])
    assert [(one.kind, one.severity, [case.subject for case in one.cases]) for one in checked.findings] == [
        ("skipped-file", "error", ["nut/test/bent/7.RAF", "nut/test/bent/8.npy"]),
        ("skipped-file", "warning", ["nut/ground_truth/bent/8.npy", "nut/walk.mp4"]),
    ]
    assert checked.findings[0].cases[0].detail == "a camera raw file is not supported"


def test_a_broken_heic_is_unreadable(tmp_path: Path) -> None:
    root = mvtec_tree(tmp_path)
    (root / "nut/test/bent/7.HEIC").write_bytes(HEIC)
    mask(root / "nut/ground_truth/bent/7_mask.png")
    ((kind, severity, ((name, _),)),) = said(check([f"mvtec:{root}"]))
    assert (kind, severity, name) == ("unreadable", "error", "nut/test/bent/7.HEIC")


def test_images_that_the_layout_has_no_use_for_are_named(tmp_path: Path) -> None:
    """MVTec LOCO AD has a folder of images for validation."""
    root = mvtec_tree(tmp_path)
    image(root / "nut/validation/good/0.png", 900)
    image(root / "cover.png", 901)
    (finding,) = check([f"mvtec:{root}"]).findings
    assert (finding.kind, finding.severity) == ("unused-image", "note")
    assert [case.subject for case in finding.cases] == ["cover.png", "nut/validation/good/0.png"]
    assert finding.message == "2 images that the layout does not use, neither as image nor as mask"


def test_other_files_are_counted(tmp_path: Path) -> None:
    root = mvtec_tree(tmp_path)
    for name in ("readme.txt", "license.txt", "nut/test/notes.csv"):
        (root / name).write_text("-")
    (root / "nut/test/@eaDir").mkdir()
    (finding,) = check([f"mvtec:{root}"]).findings
    assert (finding.kind, finding.severity, finding.cases) == ("ignored-files", "note", ())
    assert finding.message == "no images: 3 other files (2 .txt, 1 .csv), 1 hidden or thumbnail folder (@eaDir)"


def test_beside_a_list_only_the_folders_of_its_images_are_looked_at(tmp_path: Path) -> None:
    lines = [{"image_path": f"photos/{number}.png", "label": 0, "class_name": "nut"} for number in range(2)]
    (tmp_path / "list.jsonl").write_text("\n".join(map(json.dumps, lines)))
    for name in ("photos/0.png", "photos/1.png", "photos/2.png", "photos/more/3.png", "others/4.png"):
        image(tmp_path / name, len(name) + int(name[-5]))
    (tmp_path / "photos/5.raf").write_bytes(RAW)
    (tmp_path / "others/6.raf").write_bytes(RAW)
    assert [(kind, [name for name, _ in cases]) for kind, _, cases in said(check([f"jsonl:{tmp_path}"]))] == [
        ("skipped-file", ["photos/5.raf"]),
        ("unused-image", ["photos/2.png"]),
    ]


def test_names_that_other_systems_take_for_one_are_told(tmp_path: Path) -> None:
    root = mvtec_tree(tmp_path)
    composed, decomposed = (unicodedata.normalize(form, "Gehäuse.png") for form in ("NFC", "NFD"))
    for number, name in enumerate((composed, decomposed, "a.png", "A.png")):
        image(root / "nut/test/good" / name, 900 + number)
    ((kind, severity, cases),) = said(check([f"mvtec:{root}"]))
    assert (kind, severity) == ("similar-names", "warning")
    assert sorted(cases) == [
        (r"'nut/test/good/Geh\xe4use.png'", r"and 'nut/test/good/Geha\u0308use.png'"),
        ("'nut/test/good/a.png'", "and 'nut/test/good/A.png'"),
    ]


def test_odd_names_are_read_and_checked(tmp_path: Path) -> None:
    """Spaces at an end, line ends, and bytes that are no UTF-8."""
    root = mvtec_tree(tmp_path)
    for number, stem in enumerate((" 1 ", "1\n2", os.fsdecode(b"1\xff"))):
        image(root / "nut/test/bent" / f"{stem}.png", 900 + number)
        mask(root / "nut/ground_truth/bent" / f"{stem}_mask.png")
    checked = check([f"mvtec:{root}"])
    assert said(checked) == []
    assert {one.class_name: one.masks for one in checked.data_sets[0].classes} == {"bolt": 3, "nut": 6}

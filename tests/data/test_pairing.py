"""Which mask an image gets, where folders hold folders: its own, or none."""

import json
import unicodedata
from itertools import permutations
from pathlib import Path

import pytest

from tests.data.test_layouts import make
from zsad.data import layouts
from zsad.errors import InputError

PLACES = {
    "mvtec": ("nut/test/bent", "nut/ground_truth/bent"),
    "labelled": ("bent", "ground_truth/bent"),
    "cvc-colondb": ("images", "masks"),
    "kvasir": ("images", "masks"),
}
"""Where a layout has images, and where their masks."""


def pairs(layout: str, root: Path) -> dict[str, str | None]:
    """The mask of each anomalous image, as paths below the root."""
    found = (one for one in layouts.get(layout).samples(root) if one.label == 1)
    return {one.source(root): one.mask and one.mask.relative_to(root).as_posix() for one in found}


@pytest.mark.parametrize("layout", PLACES)
def test_an_image_gets_the_mask_of_its_own_folder(layout: str, tmp_path: Path) -> None:
    images, masks = PLACES[layout]
    names = ("a/1", "b/1", "b/deep/1", "1")
    make(tmp_path, "good/1.png", *(f"{images}/{name}.jpg" for name in names))
    make(tmp_path, *(f"{masks}/{name}.png" for name in names[:3]))
    assert pairs(layout, tmp_path) == {
        **{f"{images}/{name}.jpg": f"{masks}/{name}.png" for name in names[:3]},
        f"{images}/1.jpg": None,
    }


def all_masks(layout: str, root: Path) -> dict[str, list[str]]:
    """The names of all masks of each anomalous image, by its name."""
    found = (one for one in layouts.get(layout).samples(root) if one.label == 1)
    return {one.image.name: [mask.relative_to(root).as_posix() for mask in one.masks] for one in found}


@pytest.mark.parametrize("layout", PLACES)
def test_each_defect_may_have_a_mask_of_its_own(layout: str, tmp_path: Path) -> None:
    """In MVTec LOCO AD masks lie in a folder for each image, all of them called alike."""
    images, masks = PLACES[layout]
    make(tmp_path, "good/9.png", *(f"{images}/{name}.png" for name in ("000", "001", "002")))
    make(tmp_path, *(f"{masks}/{name}.png" for name in ("000/000", "000/001", "001/000", "002/10", "002/9")))
    assert all_masks(layout, tmp_path) == {
        "000.png": [f"{masks}/000/000.png", f"{masks}/000/001.png"],
        "001.png": [f"{masks}/001/000.png"],
        "002.png": [f"{masks}/002/9.png", f"{masks}/002/10.png"],
    }


@pytest.mark.parametrize("layout", ["mvtec", "labelled"])
def test_masks_may_be_numbered(layout: str, tmp_path: Path) -> None:
    images, masks = PLACES[layout]
    make(tmp_path, "good/9.png", *(f"{images}/{name}.png" for name in ("a", "a_1", "b", "b_2")))
    make(tmp_path, *(f"{masks}/{name}.png" for name in ("a_mask_1", "a_mask_2", "a_1_mask", "b_gt-0", "b_2")))
    assert all_masks(layout, tmp_path) == {
        "a.png": [f"{masks}/a_mask_1.png", f"{masks}/a_mask_2.png"],
        "a_1.png": [f"{masks}/a_1_mask.png"],
        "b.png": [f"{masks}/b_gt-0.png"],
        "b_2.png": [f"{masks}/b_2.png"],
    }


@pytest.mark.parametrize("ending", ["", "_mask", "_gt", "_label", "_MASK", "_GT"])
def test_endings_of_masks(ending: str, tmp_path: Path) -> None:
    make(tmp_path, "nut/test/bent/Part1.JPG", f"nut/ground_truth/bent/Part1{ending}.png")
    assert pairs("mvtec", tmp_path) == {"nut/test/bent/Part1.JPG": f"nut/ground_truth/bent/Part1{ending}.png"}


def test_capitals_count_where_they_tell_two_apart(tmp_path: Path) -> None:
    make(tmp_path, *(f"nut/test/bent/{name}.png" for name in ("a", "A", "b")))
    make(tmp_path, *(f"nut/ground_truth/bent/{name}.png" for name in ("a", "A", "B")))
    masks = {f"nut/test/bent/{name}.png": f"nut/ground_truth/bent/{name}.png" for name in ("a", "A")}
    assert pairs("mvtec", tmp_path) == {**masks, "nut/test/bent/b.png": "nut/ground_truth/bent/B.png"}


def test_a_folder_of_images_is_no_folder_of_masks_of_one(tmp_path: Path) -> None:
    make(tmp_path, "nut/test/bent/a.png", "nut/test/bent/a/1.png", "nut/ground_truth/bent/a/1.png")
    assert pairs("mvtec", tmp_path) == {
        "nut/test/bent/a/1.png": "nut/ground_truth/bent/a/1.png",
        "nut/test/bent/a.png": None,
    }


FORMS = [unicodedata.normalize(form, "Gehäuse 1") for form in ("NFC", "NFD")]
BOTH_WAYS = list(permutations(FORMS))


@pytest.mark.parametrize("layout", PLACES)
@pytest.mark.parametrize("forms", BOTH_WAYS)
def test_names_are_the_same_in_every_unicode_form(layout: str, forms: tuple[str, str], tmp_path: Path) -> None:
    images, masks = (place.replace("bent", form) for place, form in zip(PLACES[layout], forms, strict=True))
    make(tmp_path, "good/1.png", f"{images}/{forms[0]}.png", f"{masks}/{forms[1]}.png")
    assert pairs(layout, tmp_path) == {f"{images}/{forms[0]}.png": f"{masks}/{forms[1]}.png"}


@pytest.mark.parametrize("forms", BOTH_WAYS)
@pytest.mark.parametrize("root", ["", "/another/machine/"])
def test_lists_name_files_in_any_unicode_form(forms: tuple[str, str], root: str, tmp_path: Path) -> None:
    there, written = forms
    make(tmp_path, f"{there}/{there}.png", f"{there}/masks/{there}.png")
    line = {"image_path": f"{root}{written}/{written}.png", "mask_path": f"{root}{written}/masks/{written}.png"}
    (tmp_path / "list.jsonl").write_text(json.dumps(line | {"label": 1, "class_name": written}))
    (found,) = layouts.get("jsonl").samples(tmp_path)
    assert (found.image, found.mask) == (tmp_path / there / f"{there}.png", tmp_path / there / f"masks/{there}.png")
    assert found.class_name == FORMS[0]


def test_two_masks_whose_names_look_alike_are_told_apart(tmp_path: Path) -> None:
    make(tmp_path, "nut/test/bent/Gehäuse.png")
    make(tmp_path, *(f"nut/ground_truth/bent/{form}.png" for form in (FORMS[0][:-2], FORMS[1][:-2])))
    with pytest.raises(InputError, match=r"Geha\\u0308use\.png' and .*Geh\\xe4use\.png'"):
        layouts.get("mvtec").samples(tmp_path)


def test_a_list_may_name_the_folder_of_an_images_masks(tmp_path: Path) -> None:
    make(tmp_path, "p/000.png", "p/001.png", "masks/000/1.png", "masks/000/2.png")
    named = {"p/000.png": "masks/000", "p/001.png": "masks"}
    lines = [{"image_path": image, "mask_path": masks} for image, masks in named.items()]
    text = "\n".join(json.dumps(line | {"label": 1, "class_name": "nut"}) for line in lines)
    (tmp_path / "list.jsonl").write_text(text)
    assert all_masks("jsonl", tmp_path) == {"000.png": ["masks/000/1.png", "masks/000/2.png"], "001.png": []}


def test_flat_folders_of_slices_stay_flat(tmp_path: Path) -> None:
    make(tmp_path, "test/Ungood/img/1.png", "test/Ungood/label/1.png", "test/Ungood/label/old/1.png")
    assert pairs("bmad-liver", tmp_path) == {"test/Ungood/img/1.png": "test/Ungood/label/1.png"}


def test_loose_masks_are_of_images_beside_no_folder(tmp_path: Path) -> None:
    make(tmp_path, "good/1.png", "bent/1.png", "bent/worn/2.png", "masks/1.png", "masks/worn/2.png", "masks/2.png")
    assert pairs("labelled", tmp_path) == {"bent/1.png": "masks/1.png", "bent/worn/2.png": None}


@pytest.mark.parametrize(
    ("layout", "masks"),
    [
        ("mvtec", ("1.png", "1.bmp")),
        ("mvtec", ("1.png", "1_mask.png")),
        ("mvtec", ("1.png", "1_mask_1.png")),
        ("mvtec", ("1_mask.png", "1/1.png")),
        ("mvtec", ("1_mask_1.png", "1/1.png")),
        ("labelled", ("sub/1.png", "sub/1_mask.png")),
        ("cvc-colondb", ("1.jpg", "1.png")),
    ],
)
def test_two_masks_of_one_image_are_refused(layout: str, masks: tuple[str, str], tmp_path: Path) -> None:
    images, folder = PLACES[layout]
    make(tmp_path, "good/1.png", f"{images}/1.png", f"{images}/sub/1.png", *(f"{folder}/{name}" for name in masks))
    with pytest.raises(InputError, match="an image has one mask") as caught:
        layouts.get(layout).samples(tmp_path)
    assert all(str(tmp_path / folder / name) in caught.value.value for name in masks)

"""Which mask a picture gets, where folders hold folders: its own, or none."""

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
"""Where a layout has pictures, and where their masks."""


def pairs(layout: str, root: Path) -> dict[str, str | None]:
    """The mask of each anomalous picture, as paths below the root."""
    found = (one for one in layouts.get(layout).samples(root) if one.label == 1)
    return {one.source(root): one.mask and one.mask.relative_to(root).as_posix() for one in found}


@pytest.mark.parametrize("layout", PLACES)
def test_a_picture_gets_the_mask_of_its_own_folder(layout: str, tmp_path: Path) -> None:
    pictures, masks = PLACES[layout]
    names = ("a/1", "b/1", "b/deep/1", "1")
    make(tmp_path, "good/1.png", *(f"{pictures}/{name}.jpg" for name in names))
    make(tmp_path, *(f"{masks}/{name}.png" for name in names[:3]))
    assert pairs(layout, tmp_path) == {
        **{f"{pictures}/{name}.jpg": f"{masks}/{name}.png" for name in names[:3]},
        f"{pictures}/1.jpg": None,
    }


@pytest.mark.parametrize("mask", ["000/000.png", "000/001.png"])
def test_a_mask_of_another_folder_is_none(mask: str, tmp_path: Path) -> None:
    """Some data sets have a folder of masks for each picture, all of them called alike."""
    make(tmp_path, "nut/test/bent/000.png", "nut/test/bent/001.png", f"nut/ground_truth/bent/{mask}")
    assert set(pairs("mvtec", tmp_path).values()) == {None}


def test_flat_folders_of_slices_stay_flat(tmp_path: Path) -> None:
    make(tmp_path, "test/Ungood/img/1.png", "test/Ungood/label/1.png", "test/Ungood/label/old/1.png")
    assert pairs("bmad-liver", tmp_path) == {"test/Ungood/img/1.png": "test/Ungood/label/1.png"}


def test_loose_masks_are_of_pictures_beside_no_folder(tmp_path: Path) -> None:
    make(tmp_path, "good/1.png", "bent/1.png", "bent/worn/2.png", "masks/1.png", "masks/worn/2.png", "masks/2.png")
    assert pairs("labelled", tmp_path) == {"bent/1.png": "masks/1.png", "bent/worn/2.png": None}


@pytest.mark.parametrize(
    ("layout", "masks"),
    [
        ("mvtec", ("1.png", "1.bmp")),
        ("mvtec", ("1.png", "1_mask.png")),
        ("labelled", ("sub/1.png", "sub/1_mask.png")),
        ("cvc-colondb", ("1.jpg", "1.png")),
    ],
)
def test_two_masks_of_one_picture_are_refused(layout: str, masks: tuple[str, str], tmp_path: Path) -> None:
    pictures, folder = PLACES[layout]
    make(tmp_path, "good/1.png", f"{pictures}/1.png", *(f"{folder}/{name}" for name in masks))
    with pytest.raises(InputError, match="a picture has one mask") as caught:
        layouts.get(layout).samples(tmp_path)
    assert all(str(tmp_path / folder / name) in caught.value.value for name in masks)

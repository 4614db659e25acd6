"""MVTec AD 2: eight scenarios, with a public test set and two whose ground truth is not published."""

from collections.abc import Iterator
from pathlib import Path

from zsad.data.layouts._base import ANOMALOUS, NORMAL, Layout, Sample
from zsad.data.layouts._trees import another_tree, folders_in, images_of, masks_of, name_of
from zsad.errors import InputError

PRIVATE = ("test_private", "test_private_mixed")


class MVTecAD2(Layout):
    """``<class>/{train,validation}/good/*`` and ``<class>/test_public/{good,bad}/*``.

    Masks are ``<class>/test_public/ground_truth/bad/<stem>_mask.png``. Images of validation count as training images;
    those of ``test_private`` and ``test_private_mixed`` have no label, since only the authors' server knows it.
    """

    title = "MVTec AD 2"
    about = "MVTec AD 2, eight scenarios (Heckler-Kram et al. 2025, mvtec.com; CC BY-NC-SA 4.0)"
    classes = ("can", "fabric", "fruit_jelly", "rice", "sheet_metal", "vial", "wallplugs", "walnuts")

    @classmethod
    def samples(cls, root: Path) -> list[Sample]:
        """All samples of its classes; of a class the images of training and validation first.

        Raises:
            InputError: ``root`` is neither the data set nor one of its classes, or has no image.
        """
        folders = [root] if _is_class(root) else [folder for folder in folders_in(root) if _is_class(folder)]
        folders = [folder for folder in folders if name_of(folder) in cls.classes]
        if not folders:
            tree = f"folders <class>/test_public/<kind> of its classes {', '.join(cls.classes)}"
            raise another_tree(cls.title, tree, root)
        samples = [sample for folder in folders for sample in _of_class(folder)]
        if not samples:
            raise InputError("train and test folders contain images", root, "check that the data set is complete")
        return samples


def _is_class(folder: Path) -> bool:
    return bool(folders_in(folder / "test_public"))


def _of_class(folder: Path) -> Iterator[Sample]:
    name, public = name_of(folder), folder / "test_public"
    for split in ("train", "validation"):
        yield from (Sample(image, NORMAL, name, "good", None, "train") for image in images_of(folder / split / "good"))
    yield from (Sample(image, NORMAL, name, "good", None, "test") for image in images_of(public / "good"))
    bad = images_of(public / "bad")
    masks = masks_of(bad, public / "bad", public / "ground_truth" / "bad")
    for image in bad:
        yield Sample(image, ANOMALOUS, name, "bad", None, "test").with_masks(masks[image])
    for hidden in PRIVATE:
        yield from (Sample(image, None, name, "unknown", None, "test") for image in images_of(folder / hidden))

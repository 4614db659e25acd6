"""Trees that several medical data sets share.

BMAD, its three data sets with masks
    train/good/       images in img, or without a folder between
    test/good/
    test/Ungood/      and masks of the same names in label, or anomaly_mask
sets for segmenting lesions: a folder of images and a folder of their masks, all anomalous
tumours of the brain: folders ``yes`` and ``no``
"""

from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

from zsad.data.layouts._base import ANOMALOUS, NORMAL, Layout, Sample
from zsad.data.layouts._mvtec_tree import repacked
from zsad.data.layouts._trees import another_tree, images_at, images_of, masks_below, masks_of
from zsad.errors import InputError

MASKS = ("label", "anomaly_mask")


class Bmad(Layout):
    """``{train,test}/{good,Ungood}/img/*``, masks of the same names in ``test/Ungood/label``.

    Attributes:
        kind: of the anomalies.
    """

    kind: ClassVar[str]

    @classmethod
    def samples(cls, root: Path) -> list[Sample]:
        """All images, those of training first, in natural order; those for validation are not read.

        Raises:
            InputError: ``root`` does not exist or has another tree.
        """
        samples = list(cls._samples(root))
        if not any(sample.label == ANOMALOUS for sample in samples):
            raise another_tree(cls.title, "folders test/good and test/Ungood, each with img", root)
        return samples

    @classmethod
    def _samples(cls, root: Path) -> Iterator[Sample]:
        for split in ("train", "test"):
            for image in _images(root / split / "good"):
                yield Sample(image, NORMAL, cls.classes[0], "good", None, split)
        wrong = root / "test" / "Ungood"
        masks = {stem: mask for name in MASKS for stem, mask in masks_below(wrong / name).items()}
        for image in _images(wrong):
            yield Sample(image, ANOMALOUS, cls.classes[0], cls.kind, masks.get(image.stem), "test")


def _images(folder: Path) -> list[Path]:
    return images_at(folder / "img") or images_at(folder)


Folders = tuple[str, str]
"""Of images and of masks, below the root."""


class Masked(Layout):
    """Images with masks of the same names, whatever their suffixes.

    Attributes:
        folders: of the test split, in each structure in which they are distributed; the first that exists is read.
        training_folders: those of a training split, if there is one.
        ending: suffix of the stem of a mask after that of its image.
        kind: of the defects.
    """

    folders: ClassVar[tuple[Folders, ...]] = (("images", "masks"),)
    training_folders: ClassVar[tuple[Folders, ...]] = ()
    ending: ClassVar[str] = ""
    kind: ClassVar[str]

    @classmethod
    def samples(cls, root: Path) -> list[Sample]:
        """All images, those of training first, in natural order; without a mask where it is missing.

        Raises:
            InputError: ``root`` has another tree, or no image of a split has a mask of its name.
        """
        parts = (("train", cls.training_folders), ("test", cls.folders))
        there = [(split, names) for split, forms in parts for names in _present(root, forms)[:1]]
        if not there:
            return repacked(cls.title, cls._tree(), root, cls.classes[0])
        return [sample for split, names in there for sample in cls._samples_of(root, names, split)]

    @classmethod
    def _tree(cls) -> str:
        return "folders " + ", or ".join(" and ".join(names) for names in (*cls.folders, *cls.training_folders))

    @classmethod
    def _samples_of(cls, root: Path, names: Folders, split: str) -> list[Sample]:
        home = root / names[0]
        images = masks_of(images_of(home), home, root / names[1], (cls.ending,))
        if not any(images.values()):
            rule = f"images of {cls.title} have masks <stem>{cls.ending} in {names[1]}"
            value = f"none of {len(images)} in {home}"
            raise InputError(rule, value, "unpack the data set again")
        return [
            Sample(image, ANOMALOUS, cls.classes[0], cls.kind, None, split).with_masks(masks)
            for image, masks in images.items()
        ]


def _present(root: Path, forms: tuple[Folders, ...]) -> list[Folders]:
    return [names for names in forms if all((root / name).is_dir() for name in names)]


CLASS = "brain MRI"
WITHIN = ("", "brain_tumor_dataset")
"""Positions of the folders below the root; the first with both is read."""


def tumours(title: str, root: Path) -> list[Sample]:
    """All images of ``no`` (normal) and ``yes`` (anomalous), in natural order; there are no masks.

    Raises:
        InputError: ``root`` has another tree.
    """
    return list(_samples(root)) or repacked(title, "folders no and yes", root, CLASS)


def _samples(root: Path) -> Iterator[Sample]:
    for folder in [root / name for name in WITHIN if _is_both(root / name)][:1]:
        yield from (Sample(image, NORMAL, CLASS, "good", None, "test") for image in images_at(folder / "no"))
        yield from (Sample(image, ANOMALOUS, CLASS, "tumour", None, "test") for image in images_at(folder / "yes"))


def _is_both(folder: Path) -> bool:
    return (folder / "no").is_dir() and (folder / "yes").is_dir()

"""Folders of images and folders of their masks, all anomalous: how sets for segmenting lesions are published."""

from pathlib import Path
from typing import ClassVar

from zsad.data.layouts._base import ANOMALOUS, Layout, Sample
from zsad.data.layouts._pairing import masks_of
from zsad.data.layouts._repacked import repacked
from zsad.data.layouts._trees import images_of
from zsad.errors import InputError

Folders = tuple[str, str]
"""Of images and of masks, below the root."""


class Masked(Layout):
    """Images with masks of the same names, whatever their suffixes.

    Attributes:
        folders: of the test split, in each form in which they are passed on; the first that is there is read.
        training_folders: those of a training split, where there is one.
        ending: what the stem of a mask has after that of its image.
        kind: of the defects.
    """

    folders: ClassVar[tuple[Folders, ...]] = (("images", "masks"),)
    training_folders: ClassVar[tuple[Folders, ...]] = ()
    ending: ClassVar[str] = ""
    kind: ClassVar[str]

    @classmethod
    def samples(cls, root: Path) -> list[Sample]:
        """All images, those of training first, in natural order; an image that lacks its mask has none.

        Raises:
            InputError: ``root`` has another tree, or no image of a split has a mask of its name.
        """
        parts = (("train", cls.training_folders), ("test", cls.folders))
        there = [(split, names) for split, forms in parts for names in _present(root, forms)[:1]]
        if not there:
            return repacked(cls.title, cls._tree(), root, cls.classes[0])
        return [one for split, names in there for one in cls._samples_of(root, names, split)]

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
            Sample(one, ANOMALOUS, cls.classes[0], cls.kind, None, split).with_masks(masks)
            for one, masks in images.items()
        ]


def _present(root: Path, forms: tuple[Folders, ...]) -> list[Folders]:
    return [names for names in forms if all((root / name).is_dir() for name in names)]

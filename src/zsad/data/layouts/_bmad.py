"""The tree of BMAD, a benchmark of medical anomaly detection, for its three data sets with masks.

train/good/                 images in img, or without a folder between
test/good/
test/Ungood/                and masks of the same names in label, or anomaly_mask
"""

from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

from zsad.data.layouts._base import ANOMALOUS, NORMAL, Layout, Sample
from zsad.data.layouts._pairing import masks_below
from zsad.data.layouts._trees import another_tree, images_at

MASKS = ("label", "anomaly_mask")


class Bmad(Layout):
    """``{train,test}/{good,Ungood}/img/*``, masks of the same names in ``test/Ungood/label``.

    Attributes:
        kind: of what is wrong.
    """

    kind: ClassVar[str]

    @classmethod
    def samples(cls, root: Path) -> list[Sample]:
        """All images, those of training first, in natural order; those for validation are left out.

        Raises:
            InputError: ``root`` does not exist or has another tree.
        """
        found = list(cls._samples(root))
        if not any(one.label == ANOMALOUS for one in found):
            raise another_tree(cls.title, "folders test/good and test/Ungood, each with img", root)
        return found

    @classmethod
    def _samples(cls, root: Path) -> Iterator[Sample]:
        for split in ("train", "test"):
            for one in _images(root / split / "good"):
                yield Sample(one, NORMAL, cls.classes[0], "good", None, split)
        wrong = root / "test" / "Ungood"
        masks = {stem: mask for name in MASKS for stem, mask in masks_below(wrong / name).items()}
        for one in _images(wrong):
            yield Sample(one, ANOMALOUS, cls.classes[0], cls.kind, masks.get(one.stem), "test")


def _images(folder: Path) -> list[Path]:
    return images_at(folder / "img") or images_at(folder)

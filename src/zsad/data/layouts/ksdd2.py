"""KolektorSDD2 (KSDD2): surfaces of a production item, with its published split."""

from collections.abc import Iterator
from pathlib import Path
from types import MappingProxyType

from zsad.data.layouts._base import ANOMALOUS, NORMAL, Layout, PublishedCount, Sample
from zsad.data.layouts._trees import another_tree, images_at, incomplete, is_blank, masks_below


class KSDD2(Layout):
    """``train`` and ``test`` with ``NNNNN.png`` and ``NNNNN_GT.png``.

    An image is anomalous where its mask is not blank; the training split has 2,085 normal and 246 anomalous. Files
    with other names are ignored: the archive has copies of image 10301 and its mask.
    """

    title = "KolektorSDD2"
    about = "3,335 images of a production item (Bozic et al. 2021, vicos.si/kolektorsdd2; CC BY-NC-SA 4.0)"
    classes = ("KSDD2",)
    counts = MappingProxyType({"KSDD2": PublishedCount(normal=894, anomalous=110, train=2331)})

    @classmethod
    def samples(cls, root: Path) -> list[Sample]:
        """All images, those of training first, in natural order.

        Raises:
            InputError: ``root`` has another tree, or a mask is missing or broken, so that nothing tells the label.
        """
        samples = [sample for split in ("train", "test") for sample in _samples_of_split(root, split)]
        if not samples:
            raise another_tree(cls.title, "folders train and test with NNNNN.png and NNNNN_GT.png", root)
        return samples


def _samples_of_split(root: Path, split: str) -> Iterator[Sample]:
    masks = masks_below(root / split, "_GT")
    images = [image for image in images_at(root / split) if image.stem.isdecimal()]
    alone = [image.with_name(f"{image.stem}_GT.png") for image in images if image.stem not in masks]
    if alone:
        raise incomplete(KSDD2.title, alone, root)
    for image in images:
        normal = is_blank(masks[image.stem])
        label, kind, mask = (NORMAL, "good", None) if normal else (ANOMALOUS, "defect", masks[image.stem])
        yield Sample(image, label, KSDD2.classes[0], kind, mask, split)

"""DAGM 2007: ten drawn textures with weakly labelled defects."""

from collections.abc import Iterator
from pathlib import Path
from types import MappingProxyType

from zsad.data.layouts._base import ANOMALOUS, NORMAL, Layout, PublishedCount, Sample
from zsad.data.layouts._trees import another_tree, folders_in, images_at, incomplete, masks_below, name_of

LARGE_CLASS = PublishedCount(normal=1000, anomalous=150, train=1150)


class DAGM(Layout):
    """``Class1`` to ``Class10``, each ``{Train,Test}/NNNN.PNG`` with ``Label/NNNN_label.PNG`` of the anomalous.

    Masks are ellipses about the defects. Training splits have anomalous images too. The root is the data set, or the
    folder of one class.
    """

    title = "DAGM 2007"
    about = "10 synthetic textures (Wieler and Hahn 2007, zenodo.org/records/12750201; see there for terms)"
    classes = tuple(f"Class{number}" for number in range(1, 11))
    counts = MappingProxyType(
        {
            "Class1": PublishedCount(normal=504, anomalous=71, train=575),
            "Class2": PublishedCount(normal=491, anomalous=84, train=575),
            "Class3": PublishedCount(normal=491, anomalous=84, train=575),
            "Class4": PublishedCount(normal=507, anomalous=68, train=575),
            "Class5": PublishedCount(normal=495, anomalous=80, train=575),
            "Class6": PublishedCount(normal=508, anomalous=67, train=575),
            **{f"Class{number}": LARGE_CLASS for number in range(7, 11)},
        }
    )

    @classmethod
    def samples(cls, root: Path) -> list[Sample]:
        """All images; of a class those of training first, in natural order.

        Raises:
            InputError: ``root`` has another tree, or a folder of masks is missing, so that nothing tells the labels.
        """
        folders = [folder for folder in (root, *folders_in(root)) if name_of(folder) in cls.classes]
        samples = [sample for folder in folders for split in ("Train", "Test") for sample in _samples(folder / split)]
        if not samples:
            raise another_tree(cls.title, "folders Class1 to Class10 with Train and Test", root)
        return samples


def _samples(folder: Path) -> Iterator[Sample]:
    images = images_at(folder)
    if images and not (folder / "Label").is_dir():
        raise incomplete(DAGM.title, ["Label"], folder)
    masks = masks_below(folder / "Label", "_label")
    for image in images:
        mask = masks.get(image.stem)
        label, kind = (ANOMALOUS, "defect") if mask else (NORMAL, "good")
        yield Sample(image, label, name_of(folder / ".."), kind, mask, folder.name.lower())

"""RSDDs: rails, two types of line, all with defects."""

from collections.abc import Iterator
from pathlib import Path
from types import MappingProxyType

from zsad.data.layouts._base import ANOMALOUS, Layout, PublishedCount, Sample
from zsad.data.layouts._trees import another_tree, folders_in, images_at, masks_below, name_of

IMAGES, MASKS = "Rail surface images", "GroundTruth"


class RSDD(Layout):
    """``Type-I RSDDs dataset`` and ``Type-II RSDDs dataset``, each ``Rail surface images`` and ``GroundTruth``.

    Masks have the names of their images. The root is the folder of both types, or of one. Bayes-PFL's tables are of
    387 normal and 387 anomalous pieces cut from it: that is another data set.
    """

    title = "RSDDs"
    about = "195 images of rails, 67 of type I and 128 of type II (Gan et al. 2017; for research)"
    classes = ("rail",)
    counts = MappingProxyType({"rail": PublishedCount(normal=0, anomalous=195)})

    @classmethod
    def samples(cls, root: Path) -> list[Sample]:
        """All images, in natural order.

        Raises:
            InputError: ``root`` does not exist or has another tree.
        """
        samples = [sample for folder in (root, *folders_in(root)) for sample in _samples_of_type(folder)]
        if not samples:
            raise another_tree(cls.title, f"folders Type-* with {IMAGES!r} and {MASKS!r}", root)
        return samples


def _samples_of_type(folder: Path) -> Iterator[Sample]:
    masks = masks_below(folder / MASKS)
    kind = "defect (type II)" if name_of(folder).startswith("Type-II") else "defect (type I)"
    for image in images_at(folder / IMAGES):
        yield Sample(image, ANOMALOUS, RSDD.classes[0], kind, masks.get(image.stem), "test")

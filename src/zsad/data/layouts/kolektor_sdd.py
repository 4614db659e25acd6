"""KolektorSDD: electrical commutators, eight views of each of fifty, as published: whole and without a split."""

from pathlib import Path
from types import MappingProxyType

from zsad.data.layouts._base import ANOMALOUS, NORMAL, Layout, PublishedCount, Sample
from zsad.data.layouts._trees import another_tree, folders_in, images_at, incomplete, is_blank, masks_below


class KolektorSDD(Layout):
    """``kos01`` to ``kos50`` with ``Part*.jpg`` and ``Part*_label.bmp``.

    An image is anomalous where its mask is not blank. AdaCLIP and AnomalyCLIP cut each image into three and draw a
    split, in the tree of MVTec AD: that is another data set (layout ``mvtec``).
    """

    title = "KolektorSDD"
    about = "399 images of electrical commutators (Tabernik et al. 2019, vicos.si/kolektorsdd; CC BY-NC-SA 4.0)"
    classes = ("electrical commutators",)
    counts = MappingProxyType({"electrical commutators": PublishedCount(normal=347, anomalous=52)})

    @classmethod
    def samples(cls, root: Path) -> list[Sample]:
        """All images, in natural order.

        Raises:
            InputError: ``root`` has another tree, or a mask is missing or broken, so that nothing tells the label.
        """
        folders = [folder for folder in folders_in(root) if folder.name.startswith("kos")]
        masks = {folder: masks_below(folder, "_label") for folder in folders}
        images = [image for folder in folders for image in images_at(folder) if not image.stem.endswith("_label")]
        if not images:
            raise another_tree(cls.title, "folders kos01 to kos50 with Part*.jpg", root)
        alone = [
            image.with_name(f"{image.stem}_label.bmp") for image in images if image.stem not in masks[image.parent]
        ]
        if alone:
            raise incomplete(cls.title, alone, root)
        return [_sample(image, masks[image.parent][image.stem]) for image in images]


def _sample(image: Path, mask: Path) -> Sample:
    name = KolektorSDD.classes[0]
    if is_blank(mask):
        return Sample(image, NORMAL, name, "good", None, "test")
    return Sample(image, ANOMALOUS, name, "crack", mask, "test")

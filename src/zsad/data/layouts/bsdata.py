"""BSData: ball screw drives with pitting, as in the repository of its authors."""

from pathlib import Path
from types import MappingProxyType

from zsad.data.layouts._base import ANOMALOUS, NORMAL, Layout, PublishedCount, Sample
from zsad.data.layouts._trees import another_tree, images_at, masks_below


class BSData(Layout):
    """``data/*.jpg`` with ``label/<stem>.json`` of the anomalous: polygons of labelme, which are read as masks.

    Masks rendered from them, ``masks/<stem>.png``, take precedence if they exist.
    """

    title = "BSData"
    about = "1,104 images of ball screw drives (Schlagenhauf et al. 2021, github.com/2Obe/BSData; CC BY-SA 4.0)"
    classes = ("ball screw",)
    counts = MappingProxyType({"ball screw": PublishedCount(normal=710, anomalous=394)})

    @classmethod
    def samples(cls, root: Path) -> list[Sample]:
        """All images, in natural order.

        Raises:
            InputError: ``root`` has another tree.
        """
        images, labels = images_at(root / "data"), root / "label"
        if not images or not labels.is_dir():
            raise another_tree(cls.title, "folders data and label", root)
        masks = {label.stem: label for label in labels.glob("[!.]*.json")}
        rendered = masks_below(root / "masks")
        return [
            Sample(image, ANOMALOUS, cls.classes[0], "pitting", rendered.get(image.stem, masks[image.stem]), "test")
            if image.stem in masks
            else Sample(image, NORMAL, cls.classes[0], "good", None, "test")
            for image in images
        ]

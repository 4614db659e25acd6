"""BSData: ball screw drives with pitting, as the repository of its authors brings them."""

from pathlib import Path
from types import MappingProxyType

from zsad.data.layouts._base import ANOMALOUS, NORMAL, Count, Layout, Sample
from zsad.data.layouts._trees import another_tree, masks_below, pictures_at


class BSData(Layout):
    """``data/*.jpg`` with ``label/<stem>.json`` (labelme) of the anomalous, and no more.

    The truth is published as polygons, not as pictures. Masks drawn from them are read from ``masks/<stem>.png``;
    without these only whole pictures can be judged.
    """

    title = "BSData"
    about = "1,104 pictures of ball screw drives (Schlagenhauf et al. 2021, github.com/2Obe/BSData; CC BY-SA 4.0)"
    classes = ("ball screw",)
    counts = MappingProxyType({"ball screw": Count(normal=710, anomalous=394)})

    @classmethod
    def samples(cls, root: Path) -> list[Sample]:
        """All pictures, in natural order.

        Raises:
            InputError: ``root`` has another tree.
        """
        pictures, labels = pictures_at(root / "data"), root / "label"
        if not pictures or not labels.is_dir():
            raise another_tree(cls.title, "folders data and label", root)
        anomalous = {one.stem for one in labels.glob("[!.]*.json")}
        masks = masks_below(root / "masks")
        return [
            Sample(one, ANOMALOUS, cls.classes[0], "pitting", masks.get(one.stem), "test")
            if one.stem in anomalous
            else Sample(one, NORMAL, cls.classes[0], "good", None, "test")
            for one in pictures
        ]

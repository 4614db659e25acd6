"""MTD: magnetic tiles, as in the repository of its authors."""

from collections.abc import Iterator
from pathlib import Path
from types import MappingProxyType

from zsad.data.layouts._base import ANOMALOUS, NORMAL, Layout, PublishedCount, Sample
from zsad.data.layouts._trees import another_tree, images_at

KINDS = {
    "MT_Blowhole": "blowhole",
    "MT_Break": "break",
    "MT_Crack": "crack",
    "MT_Fray": "fray",
    "MT_Free": "good",
    "MT_Uneven": "uneven",
}


class MTD(Layout):
    """``MT_<kind>/Imgs`` with images ``*.jpg`` and masks ``*.png``; kind ``Free`` is normal.

    Four masks of kind ``Uneven`` are blank: their images are anomalous all the same. In the tree of MVTec AD its
    class is often called tile, like MVTec's own; this is layout ``mvtec``.
    """

    title = "MTD"
    about = "1,344 magnetic tiles (Huang et al. 2018, github.com/abin24/Magnetic-tile-defect-datasets.; please cite)"
    classes = ("magnetic tile",)
    counts = MappingProxyType({"magnetic tile": PublishedCount(normal=952, anomalous=392)})

    @classmethod
    def samples(cls, root: Path) -> list[Sample]:
        """All images, kind by kind, in natural order.

        Raises:
            InputError: ``root`` does not exist or has another tree.
        """
        samples = [
            sample for folder, kind in KINDS.items() for sample in _samples_of_kind(root / folder / "Imgs", kind)
        ]
        if not samples:
            raise another_tree(cls.title, f"folders {', '.join(KINDS)} with Imgs", root)
        return samples


def _samples_of_kind(folder: Path, kind: str) -> Iterator[Sample]:
    images = images_at(folder)
    masks = {image.stem: image for image in images if image.suffix.lower() == ".png"}
    for image in (image for image in images if image.suffix.lower() == ".jpg"):
        if kind == "good":
            yield Sample(image, NORMAL, MTD.classes[0], kind, None, "test")
        else:
            yield Sample(image, ANOMALOUS, MTD.classes[0], kind, masks.get(image.stem), "test")

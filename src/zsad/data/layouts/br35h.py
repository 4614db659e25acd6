"""Br35H: slices of the brain, as on Kaggle."""

from pathlib import Path
from types import MappingProxyType

from zsad.data.layouts._base import Layout, PublishedCount, Sample
from zsad.data.layouts._medical import tumours


class Br35h(Layout):
    """``no/*`` (normal) and ``yes/*`` (with a tumour); ``pred`` and the folders for Mask R-CNN are ignored."""

    title = "Br35H"
    about = "3,000 MRI slices of the brain, no masks (Hamada 2020, kaggle.com/ahmedhamada0; see there for terms)"
    classes = ("brain MRI",)
    counts = MappingProxyType({"brain MRI": PublishedCount(normal=1500, anomalous=1500)})
    has_masks = False

    @classmethod
    def samples(cls, root: Path) -> list[Sample]:
        """All images, the normal ones first, in natural order.

        Raises:
            InputError: ``root`` does not exist or has another tree.
        """
        return tumours(cls.title, root)

"""MPDD: painted metal parts, in the tree of MVTec AD."""

from pathlib import Path
from types import MappingProxyType

from zsad.data.layouts._base import Layout, PublishedCount, Sample
from zsad.data.layouts._mvtec_tree import samples_in_tree


class MPDD(Layout):
    """``<class>/{train,test}/<kind>/*``, masks ``<stem>_mask.png`` in ``<class>/ground_truth/<kind>``."""

    title = "MPDD"
    about = "MPDD, metal parts (Jezek et al. 2021, github.com/stepanje/MPDD; no terms stated)"
    classes = ("bracket_black", "bracket_brown", "bracket_white", "connector", "metal_plate", "tubes")
    counts = MappingProxyType(
        {
            "bracket_black": PublishedCount(normal=32, anomalous=47, train=289),
            "bracket_brown": PublishedCount(normal=26, anomalous=51, train=185),
            "bracket_white": PublishedCount(normal=30, anomalous=30, train=110),
            "connector": PublishedCount(normal=30, anomalous=14, train=128),
            "metal_plate": PublishedCount(normal=26, anomalous=71, train=54),
            "tubes": PublishedCount(normal=32, anomalous=69, train=122),
        }
    )

    @classmethod
    def samples(cls, root: Path) -> list[Sample]:
        """All samples of its classes; of a class the training images first.

        Raises:
            InputError: ``root`` is neither the data set nor one of its classes.
        """
        return samples_in_tree(cls.title, root, cls.classes)

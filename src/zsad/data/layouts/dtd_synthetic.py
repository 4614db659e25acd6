"""DTD-Synthetic: textures of DTD with drawn defects, in the tree of MVTec AD."""

from pathlib import Path
from types import MappingProxyType

from zsad.data.layouts._base import Layout, PublishedCount, Sample
from zsad.data.layouts._mvtec_tree import samples_in_tree

WOVEN = ("Woven_001", "Woven_068", "Woven_104", "Woven_125", "Woven_127")
"""Together 201 normal and 388 anomalous of the test split; what each has is not known here."""


class DTDSynthetic(Layout):
    """``<class>/{train/good,test/good,test/bad}/*``, masks in ``<class>/ground_truth/bad``.

    The whole has 1,200 training images, and 357 normal and 947 anomalous in the test split. The counts are those of
    a list by the authors of Bayes-PFL, which has other names for the five woven classes.
    """

    title = "DTD-Synthetic"
    about = "12 textures of DTD with synthetic defects (Aota et al. 2023; for research)"
    classes = (
        *("Blotchy_099", "Fibrous_183", "Marbled_078", "Matted_069", "Mesh_114", "Perforated_037", "Stratified_154"),
        *WOVEN,
    )
    counts = MappingProxyType(
        {
            "Blotchy_099": PublishedCount(normal=20, anomalous=80, train=100),
            "Fibrous_183": PublishedCount(normal=20, anomalous=80, train=100),
            "Marbled_078": PublishedCount(normal=20, anomalous=80, train=100),
            "Matted_069": PublishedCount(normal=20, anomalous=79, train=100),
            "Mesh_114": PublishedCount(normal=36, anomalous=80, train=100),
            "Perforated_037": PublishedCount(normal=20, anomalous=80, train=100),
            "Stratified_154": PublishedCount(normal=20, anomalous=80, train=100),
        }
    )

    @classmethod
    def samples(cls, root: Path) -> list[Sample]:
        """All samples of its classes; of a class the training images first.

        Raises:
            InputError: ``root`` is neither the data set nor one of its classes.
        """
        return samples_in_tree(cls.title, root, cls.classes)

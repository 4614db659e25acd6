"""BTAD (beanTech): three products, in the tree of MVTec AD with ``ok`` and ``ko``."""

from pathlib import Path
from types import MappingProxyType

from zsad.data.layouts._base import Layout, PublishedCount, Sample
from zsad.data.layouts._mvtec_tree import samples_in_tree


class BTAD(Layout):
    """``<class>/{train/ok,test/ok,test/ko}/*``, masks of the same stems in ``<class>/ground_truth/ko``.

    Images and masks are PNG or BMP, and an image's mask need not have its suffix.
    """

    title = "BTAD"
    about = "BTAD, three industrial products (Mishra et al. 2021, avires.dimi.uniud.it; CC BY-NC-SA 4.0)"
    classes = ("01", "02", "03")
    counts = MappingProxyType(
        {
            "01": PublishedCount(normal=21, anomalous=49, train=400),
            "02": PublishedCount(normal=30, anomalous=200, train=399),
            "03": PublishedCount(normal=400, anomalous=41, train=1000),
        }
    )

    @classmethod
    def samples(cls, root: Path) -> list[Sample]:
        """All samples of its classes; of a class the training images first.

        Raises:
            InputError: ``root`` is neither the data set nor one of its classes.
        """
        return samples_in_tree(cls.title, root, cls.classes, good="ok")

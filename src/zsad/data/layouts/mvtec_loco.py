"""MVTec LOCO AD: five objects with structural and logical anomalies, and saturation thresholds."""

from pathlib import Path
from types import MappingProxyType

from zsad.data.layouts._base import Layout, PublishedCount, Sample
from zsad.data.layouts._saturated_tree import samples_with_saturation


class MVTecLOCO(Layout):
    """``<class>/{train,validation}/good/*``, ``<class>/test/{good,logical_anomalies,structural_anomalies}/*``.

    Masks are ``<class>/ground_truth/<kind>/<stem>/NNN.png``, a file for each defect; ``<class>/defects_config.json``
    says how many pixels of each suffice (metric ``spro``). Images of validation count as training images.
    """

    title = "MVTec LOCO AD"
    about = "MVTec LOCO AD, logical and structural anomalies (Bergmann et al. 2022, mvtec.com; CC BY-NC-SA 4.0)"
    classes = ("breakfast_box", "juice_bottle", "pushpins", "screw_bag", "splicing_connectors")
    counts = MappingProxyType(
        {
            "breakfast_box": PublishedCount(normal=102, anomalous=173, train=413),
            "juice_bottle": PublishedCount(normal=94, anomalous=236, train=389),
            "pushpins": PublishedCount(normal=138, anomalous=172, train=441),
            "screw_bag": PublishedCount(normal=122, anomalous=219, train=420),
            "splicing_connectors": PublishedCount(normal=119, anomalous=193, train=413),
        }
    )

    @classmethod
    def samples(cls, root: Path) -> list[Sample]:
        """All samples of its classes; of a class the images of training and validation first.

        Raises:
            InputError: ``root`` is neither the data set nor one of its classes.
        """
        return samples_with_saturation(cls.title, root, cls.classes)

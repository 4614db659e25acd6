"""AutoVI: six inspections of a car assembly line, with saturation thresholds."""

from pathlib import Path

from zsad.data.layouts._base import Layout, Sample
from zsad.data.layouts._saturated_tree import samples_with_saturation


class AutoVI(Layout):
    """``<class>/train/good/*``, ``<class>/test/<kind>/*``, masks ``<class>/ground_truth/<kind>/<stem>/NNNN.png``.

    Each mask file is a defect, and ``<class>/defects_config.json`` says how many of its pixels suffice (metric
    ``spro``), as in MVTec LOCO AD.
    """

    title = "AutoVI"
    about = "AutoVI, inspections in car assembly (Carvalho et al. 2024, zenodo.org/records/10459003; CC BY-NC-SA 4.0)"
    classes = ("engine_wiring", "pipe_clip", "pipe_staple", "tank_screw", "underbody_pipes", "underbody_screw")

    @classmethod
    def samples(cls, root: Path) -> list[Sample]:
        """All samples of its classes; of a class the training images first.

        Raises:
            InputError: ``root`` is neither the data set nor one of its classes.
        """
        return samples_with_saturation(cls.title, root, cls.classes)

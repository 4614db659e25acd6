"""MVTec AD, and every other data set in its tree."""

from collections.abc import Sequence
from pathlib import Path
from types import MappingProxyType

from zsad.data.layouts._base import NORMAL, Layout, PublishedCount, Sample
from zsad.data.layouts._mvtec_tree import samples_in_tree

KINDS = {
    "bottle": "broken_large broken_small contamination",
    "cable": "bent_wire cable_swap combined cut_inner_insulation cut_outer_insulation missing_cable missing_wire "
    "poke_insulation",
    "capsule": "crack faulty_imprint poke scratch squeeze",
    "carpet": "color cut hole metal_contamination thread",
    "grid": "bent broken glue metal_contamination thread",
    "hazelnut": "crack cut hole print",
    "leather": "color cut fold glue poke",
    "metal_nut": "bent color flip scratch",
    "pill": "color combined contamination crack faulty_imprint pill_type scratch",
    "screw": "manipulated_front scratch_head scratch_neck thread_side thread_top",
    "tile": "crack glue_strip gray_stroke oil rough",
    "toothbrush": "defective",
    "transistor": "bent_lead cut_lead damaged_case misplaced",
    "wood": "color combined hole liquid scratch",
    "zipper": "broken_teeth combined fabric_border fabric_interior rough split_teeth squeezed_teeth",
}
"""The 73 kinds of defect, by which MVTec AD is told from other data sets with classes of the same names."""


class MVTec(Layout):
    """``<class>/{train,test}/<kind>/*`` with kind ``good`` for normal images; masks are optional.

    The mask of ``test/<kind>/<stem>.png`` is ``<stem>_mask.png`` or ``<stem>.png`` in ``ground_truth/<kind>``; several
    are numbered, ``<stem>_mask_1.png``, or lie in ``ground_truth/<kind>/<stem>``, as in MVTec LOCO AD, whose saturation
    thresholds the layout ``mvtec-loco`` reads. The root is the data set, or the folder of one class.
    """

    title = "MVTec AD"
    about = "MVTec AD (mvtec.com, CC BY-NC-SA 4.0) and every data set in the same tree."
    counts = MappingProxyType(
        {
            "bottle": PublishedCount(normal=20, anomalous=63, train=209),
            "cable": PublishedCount(normal=58, anomalous=92, train=224),
            "capsule": PublishedCount(normal=23, anomalous=109, train=219),
            "carpet": PublishedCount(normal=28, anomalous=89, train=280),
            "grid": PublishedCount(normal=21, anomalous=57, train=264),
            "hazelnut": PublishedCount(normal=40, anomalous=70, train=391),
            "leather": PublishedCount(normal=32, anomalous=92, train=245),
            "metal_nut": PublishedCount(normal=22, anomalous=93, train=220),
            "pill": PublishedCount(normal=26, anomalous=141, train=267),
            "screw": PublishedCount(normal=41, anomalous=119, train=320),
            "tile": PublishedCount(normal=33, anomalous=84, train=230),
            "toothbrush": PublishedCount(normal=12, anomalous=30, train=60),
            "transistor": PublishedCount(normal=60, anomalous=40, train=213),
            "wood": PublishedCount(normal=19, anomalous=60, train=247),
            "zipper": PublishedCount(normal=32, anomalous=119, train=240),
        }
    )

    @classmethod
    def samples(cls, root: Path) -> list[Sample]:
        """All samples of all classes; of a class the training images first."""
        return samples_in_tree("this layout", root)

    @classmethod
    def is_own(cls, samples: Sequence[Sample]) -> bool:
        """Whether this is MVTec AD or a part of it: its classes with its kinds of defect."""
        defects = {(sample.class_name, sample.kind) for sample in samples if sample.label != NORMAL}
        return super().is_own(samples) and all(kind in KINDS[name].split() for name, kind in defects)

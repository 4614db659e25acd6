"""BrainMRI as in the tables of Bayes-PFL: a part of that on Kaggle."""

from pathlib import Path
from types import MappingProxyType

from zsad.data.layouts._base import ANOMALOUS, NORMAL, Layout, PublishedCount, Sample
from zsad.data.layouts._medical import tumours
from zsad.errors import InputError

SUFFIXES = {NORMAL: (".jpg", ".bmp"), ANOMALOUS: (".JPG", ".bmp")}
"""On Kaggle, and in Bayes-PFL's pack."""


class BrainMriBayesPfl(Layout):
    """``no/*.jpg`` (normal) and ``yes/*.JPG`` (with a tumour) of the data set on Kaggle; without masks.

    Bayes-PFL's script takes only these suffixes, and its list names the same images; papers that follow it call the
    set BrainMRI. Its own pack, ``brain ct/test/{good,anomaly}/*.bmp``, is read as well.
    """

    title = "BrainMRI (Bayes-PFL)"
    about = "153 of the slices of layout brain-mri, no masks (Qu et al. 2025, github.com/xiaozhen228/Bayes-PFL)"
    classes = ("brain MRI",)
    counts = MappingProxyType({"brain MRI": PublishedCount(normal=85, anomalous=68)})
    has_masks = False

    @classmethod
    def samples(cls, root: Path) -> list[Sample]:
        """Its images, in natural order.

        Raises:
            InputError: ``root`` has another tree, or its files other suffixes.
        """
        samples = [
            sample for sample in tumours(cls.title, root) if sample.image.suffix in SUFFIXES[int(sample.label or 0)]
        ]
        if {sample.label for sample in samples} != {
            NORMAL,
            ANOMALOUS,
        }:  # many copies have all suffixes in small letters
            rule = f"images of {cls.title} have their suffixes as published, .jpg or .JPG"
            raise InputError(rule, root, "unpack BrainMRI again, without renaming or converting")
        return samples

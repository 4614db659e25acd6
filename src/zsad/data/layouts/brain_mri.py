"""BrainMRI: slices of the brain, as on Kaggle."""

from pathlib import Path
from types import MappingProxyType

from zsad.data.layouts._base import Layout, PublishedCount, Sample
from zsad.data.layouts._medical import tumours


class BrainMri(Layout):
    """``no/*`` (normal) and ``yes/*`` (with a tumour); without masks.

    The archive has them twice, also in ``brain_tumor_dataset``; they are read once. BMAD's brain, and the part of
    these images in Bayes-PFL's tables, are other data sets (layouts ``bmad-brain`` and ``brain-mri-bayes-pfl``).
    Br35H has some of these images too.
    """

    title = "BrainMRI (Kaggle)"
    about = "253 MRI slices of the brain, no masks (Chakrabarty 2019, kaggle.com/navoneel; see there for terms)"
    classes = ("brain MRI",)
    counts = MappingProxyType({"brain MRI": PublishedCount(normal=98, anomalous=155)})
    has_masks = False

    @classmethod
    def samples(cls, root: Path) -> list[Sample]:
        """All images, the normal ones first, in natural order.

        Raises:
            InputError: ``root`` does not exist or has another tree.
        """
        return tumours(cls.title, root)

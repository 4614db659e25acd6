"""CVC-300: frames of colonoscopies with polyps, all anomalous."""

from types import MappingProxyType

from zsad.data.layouts._base import PublishedCount
from zsad.data.layouts._medical import Masked


class Cvc300(Masked):
    """``images/*`` with masks of the same names in ``masks/``.

    These are the 60 frames of the test split of EndoScene; the other frames of CVC-300 are for training.
    """

    title = "CVC-300"
    about = "60 frames of colonoscopies with polyps, of EndoScene (Vazquez et al. 2017; for research)"
    classes = ("colon",)
    counts = MappingProxyType({"colon": PublishedCount(normal=0, anomalous=60)})
    kind = "polyp"

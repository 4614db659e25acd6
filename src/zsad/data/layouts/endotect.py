"""EndoTect: frames of endoscopies with polyps, all anomalous."""

from types import MappingProxyType

from zsad.data.layouts._base import PublishedCount
from zsad.data.layouts._medical import Masked


class EndoTect(Masked):
    """``images/*`` with masks of the same names in ``masks/``: the segmentation test set of the challenge."""

    title = "EndoTect"
    about = "200 frames of endoscopies with polyps, the challenge's test set (Hicks et al. 2021; for research)"
    classes = ("colon",)
    counts = MappingProxyType({"colon": PublishedCount(normal=0, anomalous=200)})
    kind = "polyp"

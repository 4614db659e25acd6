"""CVC-ClinicDB: frames of colonoscopies with polyps, all anomalous."""

from types import MappingProxyType

from zsad.data.layouts._base import PublishedCount
from zsad.data.layouts._medical import Masked


class CvcClinicDb(Masked):
    """``images/*`` with masks of the same names (any suffix) in ``masks/``; also ``Original`` and ``Ground Truth``."""

    title = "CVC-ClinicDB"
    about = "612 frames of colonoscopies with polyps (Bernal et al. 2015; for research)"
    classes = ("colon",)
    counts = MappingProxyType({"colon": PublishedCount(normal=0, anomalous=612)})
    folders = (("images", "masks"), ("Original", "Ground Truth"))
    kind = "polyp"

"""CVC-ColonDB: frames of colonoscopies with polyps, all anomalous."""

from types import MappingProxyType

from zsad.data.layouts._base import PublishedCount
from zsad.data.layouts._medical import Masked


class CvcColonDb(Masked):
    """``images/*`` with masks of the same names in ``masks/``.

    These are the 380 frames that are used for testing polyp segmentation; a first release had 300.
    """

    title = "CVC-ColonDB"
    about = "380 frames of colonoscopies with polyps (Bernal et al. 2012, Tajbakhsh et al. 2016; for research)"
    classes = ("colon",)
    counts = MappingProxyType({"colon": PublishedCount(normal=0, anomalous=380)})
    kind = "polyp"

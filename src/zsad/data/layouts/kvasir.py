"""Kvasir-SEG: frames of endoscopies with polyps, all anomalous."""

from types import MappingProxyType

from zsad.data.layouts._base import PublishedCount
from zsad.data.layouts._medical import Masked


class Kvasir(Masked):
    """``images/*.jpg`` with masks of the same names in ``masks/``.

    Masks are JPEG too, so that their edges are grey. Some redistribute it as PNG, others only 100 frames of it.
    """

    title = "Kvasir-SEG"
    about = "1,000 frames of endoscopies with polyps (Jha et al. 2020, datasets.simula.no/kvasir-seg; for research)"
    classes = ("colon",)
    counts = MappingProxyType({"colon": PublishedCount(normal=0, anomalous=1000)})
    kind = "polyp"

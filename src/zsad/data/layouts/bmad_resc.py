"""BMAD's retina: slices of RESC."""

from types import MappingProxyType

from zsad.data.layouts._base import PublishedCount
from zsad.data.layouts._medical import Bmad


class BmadResc(Bmad):
    """``{train,test}/{good,Ungood}/img/*``, masks in ``test/Ungood/label`` or ``anomaly_mask``.

    Images for validation, in ``valid``, are ignored. ACD-CLIP calls it Retina OCT.
    """

    title = "BMAD RESC"
    about = "6,102 OCT slices of retinas, of RESC (Bao et al. 2024, github.com/DorisBao/BMAD; for research)"
    classes = ("Retina",)
    counts = MappingProxyType({"Retina": PublishedCount(normal=1041, anomalous=764, train=4297)})
    kind = "oedema"

"""BMAD's liver: slices of BTCV and LiTS."""

from types import MappingProxyType

from zsad.data.layouts._base import PublishedCount
from zsad.data.layouts._medical import Bmad


class BmadLiver(Bmad):
    """``{train,test}/{good,Ungood}/img/*``, masks in ``test/Ungood/label`` or ``anomaly_mask``.

    Images for validation, in ``valid``, are ignored. The masks are of tumours, not of the liver.
    """

    title = "BMAD liver"
    about = "3,035 CT slices of livers, of BTCV and LiTS (Bao et al. 2024, github.com/DorisBao/BMAD; for research)"
    classes = ("Liver",)
    counts = MappingProxyType({"Liver": PublishedCount(normal=833, anomalous=660, train=1542)})
    kind = "tumour"

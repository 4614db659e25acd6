"""BMAD's brain: slices of BraTS2021."""

from types import MappingProxyType

from zsad.data.layouts._base import PublishedCount
from zsad.data.layouts._medical import Bmad


class BmadBrain(Bmad):
    """``{train,test}/{good,Ungood}/img/*``, masks in ``test/Ungood/label`` or ``anomaly_mask``.

    Images for validation, in ``valid``, are ignored. ACD-CLIP, AA-CLIP and KAnoCLIP call it BrainMRI;
    that on Kaggle is another (layout ``brain-mri``).
    """

    title = "BMAD brain"
    about = "11,215 MRI slices of the brain, of BraTS2021 (Bao et al. 2024, github.com/DorisBao/BMAD; for research)"
    classes = ("Brain",)
    counts = MappingProxyType({"Brain": PublishedCount(normal=640, anomalous=3075, train=7500)})
    kind = "tumour"

"""TN3K: ultrasound of thyroids with nodules, all anomalous."""

from types import MappingProxyType

from zsad.data.layouts._base import PublishedCount
from zsad.data.layouts._medical import Masked


class TN3K(Masked):
    """``test-image/*`` with masks of the same names in ``test-mask``; for training ``trainval-{image,mask}``.

    Tables of anomaly detection are of the test split. There are no normal images in either.
    """

    title = "TN3K"
    about = "3,493 ultrasound images of thyroid nodules (Gong et al. 2021; for research)"
    classes = ("thyroid",)
    counts = MappingProxyType({"thyroid": PublishedCount(normal=0, anomalous=614, train=2879)})
    folders = (("test-image", "test-mask"),)
    training_folders = (("trainval-image", "trainval-mask"),)
    kind = "nodule"

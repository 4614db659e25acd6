"""ISIC 2016, part 1: skin with lesions, all anomalous."""

from types import MappingProxyType

from zsad.data.layouts._base import PublishedCount
from zsad.data.layouts._medical import Masked


class Isic2016(Masked):
    """``ISBI2016_ISIC_Part1_Test_Data/*.jpg``, masks ``<stem>_Segmentation.png`` in ``..._Test_GroundTruth``.

    ``..._Training_Data`` and ``..._Training_GroundTruth`` are read as training split if they are in the same folder.
    Each archive is unpacked to a folder of its own name. Tables of anomaly detection are of the test split. There are
    no normal images in either.
    """

    title = "ISIC 2016"
    about = "1,279 images of skin lesions, part 1 (Gutman et al. 2016, challenge.isic-archive.com; CC0)"
    classes = ("skin",)
    counts = MappingProxyType({"skin": PublishedCount(normal=0, anomalous=379, train=900)})
    folders = (("ISBI2016_ISIC_Part1_Test_Data", "ISBI2016_ISIC_Part1_Test_GroundTruth"),)
    training_folders = (("ISBI2016_ISIC_Part1_Training_Data", "ISBI2016_ISIC_Part1_Training_GroundTruth"),)
    ending = "_Segmentation"
    kind = "lesion"

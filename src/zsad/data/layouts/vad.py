"""VAD: one part of a production line, with anomalous images to train on."""

from pathlib import Path

from zsad.data.layouts._base import Layout, Sample
from zsad.data.layouts._mvtec_tree import repacked


class VAD(Layout):
    """``{train,test}/{good,bad}/*`` and ``test/bad_unseen_defects/*``, below ``vad`` or the root; no masks.

    As published, 2,000 good and 1,000 bad images to train on, and 1,000 good and 1,000 bad ones to test on, of which
    165 have kinds of defect that are not in training.
    """

    title = "Valeo Anomaly Dataset"
    about = "VAD, 5,000 images of one part, no masks (Baitieva et al. 2024, github.com/abc-125/vad; CC BY-NC-SA 4.0)"
    has_masks = False

    @classmethod
    def samples(cls, root: Path) -> list[Sample]:
        """All images, those of training first, in natural order.

        Raises:
            InputError: ``root`` has another tree.
        """
        return repacked(cls.title, "folders train and test with good and bad", root, "vad")

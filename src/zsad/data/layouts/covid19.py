"""COVID-19 Radiography Database: chests, healthy or with one of three findings."""

from collections.abc import Iterator
from pathlib import Path
from types import MappingProxyType

from zsad.data.layouts._base import ANOMALOUS, NORMAL, Layout, PublishedCount, Sample
from zsad.data.layouts._mvtec_tree import repacked
from zsad.data.layouts._trees import folders_in, images_at

FINDINGS = ("COVID", "COVID-19", "Lung_Opacity", "Viral Pneumonia")


class Covid19(Layout):
    """``{Normal,COVID,Lung_Opacity,Viral Pneumonia}/images/*``; all but ``Normal`` are anomalous.

    ``masks`` next to ``images`` are of the lungs, not of anomalies, and are never read. The first release
    has no ``images`` and ``masks``, and its folders are ``NORMAL`` (1,341), ``COVID-19`` (219) and ``Viral Pneumonia``
    (1,345). It is read too, but the counts are those of the present release. AnomalyCLIP's script asks for ``NORMAL``
    against all else; papers do not say which release and which findings are in their tables.
    """

    title = "COVID-19 Radiography Database"
    about = "21,165 chest X-rays, no masks (Rahman et al. 2021, kaggle.com/tawsifurrahman; see there for terms)"
    classes = ("chest",)
    counts = MappingProxyType({"chest": PublishedCount(normal=10192, anomalous=3616 + 6012 + 1345)})
    has_masks = False

    @classmethod
    def samples(cls, root: Path) -> list[Sample]:
        """All images, folder by folder, in natural order.

        Raises:
            InputError: ``root`` does not exist or has another tree.
        """
        tree = f"folders Normal, {', '.join(FINDINGS)}"
        samples = list(_samples(root))
        has_findings = any(sample.label == ANOMALOUS for sample in samples)
        return samples if has_findings else repacked(cls.title, tree, root, cls.classes[0])


def _samples(root: Path) -> Iterator[Sample]:
    for folder in folders_in(root):
        is_normal = folder.name.lower() == "normal"
        if is_normal or folder.name in FINDINGS:
            label, kind = (NORMAL, "good") if is_normal else (ANOMALOUS, folder.name)
            within = folder / "images" if (folder / "images").is_dir() else folder
            yield from (Sample(image, label, Covid19.classes[0], kind, None, "test") for image in images_at(within))

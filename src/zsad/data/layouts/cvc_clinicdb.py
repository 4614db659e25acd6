"""CVC-ClinicDB: frames of colonoscopies with polyps, all anomalous."""

from pathlib import Path
from types import MappingProxyType

from zsad.data.layouts._base import ANOMALOUS, Count, Layout, Sample
from zsad.data.sources import pictures_in
from zsad.errors import InputError

FOLDERS = (("images", "masks"), ("Original", "Ground Truth"))
"""Pictures and masks, as the set is passed on among authors, and as it was published."""


class CvcClinicDb(Layout):
    """``images/*`` with masks of the same names (any suffix) in ``masks/``; also ``Original`` and ``Ground Truth``."""

    title = "CVC-ClinicDB"
    about = "612 frames of colonoscopies with polyps (Bernal et al. 2015; for research)"
    classes = ("colon",)
    counts = MappingProxyType({"colon": Count(normal=0, anomalous=612)})

    @classmethod
    def samples(cls, root: Path) -> list[Sample]:
        """All frames, in natural order.

        Raises:
            InputError: the folders are missing or empty, or a frame has no mask.
        """
        found = next((names for names in FOLDERS if all((root / name).is_dir() for name in names)), None)
        if found is None:
            raise InputError("CVC-ClinicDB has the folders images and masks", root, "point at the folder of both")
        masks = {mask.stem: mask for mask in pictures_in(root / found[1])}
        frames = pictures_in(root / found[0])
        alone = [frame.name for frame in frames if frame.stem not in masks]
        if alone or not frames:
            raise InputError("each frame has a mask of its name", alone[:3] or "no frames", "complete the data set")
        return [Sample(one, ANOMALOUS, cls.classes[0], "polyp", masks[one.stem], "test") for one in frames]

"""Data sets with one folder for good parts and one for bad ones."""

from pathlib import Path

from zsad.data import Layout, Sample
from zsad.data.sources import find_images
from zsad.errors import InputError


class OkNok(Layout):
    """``<class>/ok/*`` for normal images, ``<class>/nok/*`` for anomalous ones, whose masks are optional.

    The mask of ``nok/<stem>.*`` is ``masks/<stem>.png``.
    """

    title = "OK / NOK folders"
    about = "Any data with the folders ok and nok in the folder of each class."

    @classmethod
    def samples(cls, root: Path) -> list[Sample]:
        """All images, class by class, the normal ones first."""
        if not root.is_dir():
            raise InputError("the root of a data set is a folder", str(root), "correct the path")
        samples = [
            Sample(image, label, folder.name, "good" if label == 0 else "bad", cls._mask(folder, image, label), "test")
            for folder in sorted(path for path in root.iterdir() if path.is_dir())
            for label, part in enumerate(("ok", "nok"))
            if (folder / part).is_dir()
            for image in find_images([folder / part])
        ]
        if not samples:
            raise InputError("a data set in this layout has images in CLASS/ok or CLASS/nok", str(root), "name another")
        return samples

    @staticmethod
    def _mask(folder: Path, image: Path, label: int) -> Path | None:
        mask = folder / "masks" / f"{image.stem}.png"
        return mask if label and mask.is_file() else None

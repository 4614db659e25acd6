"""The tree of MVTec AD, in which many other data sets are published too."""

from collections.abc import Iterator
from pathlib import Path

from zsad.data.layouts._base import ANOMALOUS, NORMAL, Layout, Sample
from zsad.data.sources import natural_key, pictures_in
from zsad.errors import InputError

GOOD = "good"


class MVTec(Layout):
    """``<class>/{train,test}/<kind>/*`` with kind ``good`` for normal pictures; masks are optional.

    The mask of ``test/<kind>/<stem>.png`` is ``<stem>_mask.png`` or ``<stem>.png`` in ``ground_truth/<kind>``.
    The root is the data set, or the folder of one class.
    """

    title = "MVTec AD"
    about = "MVTec AD (mvtec.com, CC BY-NC-SA 4.0) and every data set in the same tree."

    @classmethod
    def samples(cls, root: Path) -> list[Sample]:
        """All samples of all classes; of a class the training pictures first."""
        found = [sample for folder in _class_folders(root) for sample in _samples_of_class(folder)]
        if not found:
            raise InputError("train and test folders contain pictures", root, "check that the data set is complete")
        return found


def _class_folders(root: Path) -> list[Path]:
    if _is_class(root):
        return [root]
    folders = [folder for folder in _folders_in(root) if _is_class(folder)]
    if not folders:
        raise InputError(
            "this layout has folders <class>/test/<kind>",
            root,
            "name the folder of the data set or of one class, or use the layout 'folder'",
        )
    return folders


def _is_class(folder: Path) -> bool:
    return bool(_folders_in(folder / "test") or _folders_in(folder / "train"))


def _folders_in(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    return sorted((entry for entry in folder.iterdir() if entry.is_dir() and entry.name[0] != "."), key=natural_key)


def _samples_of_class(folder: Path) -> Iterator[Sample]:
    for split in ("train", "test"):
        for kind in _folders_in(folder / split):
            for picture in pictures_in(kind):
                yield _sample(folder, split, picture)


def _sample(folder: Path, split: str, picture: Path) -> Sample:
    kind = picture.relative_to(folder / split).parts[0]
    label = NORMAL if kind == GOOD else ANOMALOUS
    mask = _mask_of(folder, kind, picture) if label == ANOMALOUS else None
    return Sample(picture, label, folder.resolve().name, kind, mask, split)


def _mask_of(folder: Path, kind: str, picture: Path) -> Path | None:
    """Where the mask is, if it is there."""
    masks = folder / "ground_truth" / kind
    candidates = (masks / f"{picture.stem}_mask.png", masks / f"{picture.stem}.png")
    return next((mask for mask in candidates if mask.is_file()), None)

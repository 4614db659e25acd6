"""Real-IAD: thirty objects from five sides, with a list for each."""

from collections.abc import Iterator
from pathlib import Path

from zsad.data.layouts._base import ANOMALOUS, NORMAL, Layout, Sample
from zsad.data.layouts._listed import ListedImage, checked, entry, malformed, read_list
from zsad.data.layouts._trees import another_tree, composed
from zsad.data.sources import natural_key

IMAGES = ("realiad_1024", "realiad_raw", "realiad_512", "realiad_256")
"""Folders of images, the first one that is there."""
LISTS = "realiad_jsons"
SPLITS = ("train", "test")


class RealIAD(Layout):
    """``realiad_jsons/<class>.json`` beside the images, ``realiad_1024/<class>/...`` (or ``_raw``, ``_512``, ``_256``).

    A list has ``meta`` (``prefix``, ``normal_class``) and, for ``train`` and ``test``, entries with ``image_path``,
    ``mask_path`` (null where normal), ``anomaly_class`` and ``category``. The root is the data set, a folder of other
    lists beside the images (``realiad_jsons_sv``, ``realiad_jsons_fuiad_0.1``), or one list.
    """

    title = "Real-IAD"
    about = "Real-IAD, 30 objects from five sides (Wang et al. 2024, realiad4ad.github.io; CC BY-NC-SA 4.0)"
    is_list = True

    @classmethod
    def samples(cls, root: Path) -> list[Sample]:
        """All samples, list by list in natural order; of a list the training images first.

        Raises:
            InputError: there are no lists or no images beside them, a list is malformed, or none of its images exists.
        """
        lists = _lists(root)
        if not lists:
            raise another_tree(cls.title, "the folder realiad_jsons with a list for each class", root)
        return [sample for file in lists for sample in checked([*_of_list(file)], file)]


def _lists(root: Path) -> list[Path]:
    if root.is_file():
        return [root]
    for folder in (root / LISTS / LISTS, root / LISTS, root):
        if folder.is_dir() and (found := sorted(folder.glob("*.json"), key=natural_key)):
            return [path for path in found if path.name[0] != "."]
    return []


def _images(file: Path) -> Path:
    """The folder of images beside the lists."""
    for home in file.parents[:3]:
        for name in IMAGES:
            if (home / name).is_dir():
                return home / name
    raise another_tree(RealIAD.title, f"images in {' or '.join(IMAGES)} beside its lists", file.parent)


def _of_list(file: Path) -> Iterator[Sample]:
    content = read_list(file)
    if not isinstance(content, dict) or not isinstance(content.get("meta", {}), dict):
        raise malformed("a list is a JSON object of meta, train and test", str(file), type(content).__name__)
    meta = entry(content.get("meta", {}), f"{file}, meta")
    normal, prefix = meta.text("normal_class", needed=False) or "OK", meta.text("prefix", needed=False)
    images = _images(file)
    home = images / (prefix or file.stem)
    for split in SPLITS:
        entries = content.get(split, [])
        if not isinstance(entries, list):
            raise malformed(f"{split} is a list", str(file), type(entries).__name__)
        for number, value in enumerate(entries, start=1):
            yield _sample(entry(value, f"{file}, {split}, entry {number}"), home, split, normal)


def _sample(listed: ListedImage, home: Path, split: str, normal: str) -> Sample:
    kind, name = listed.filled("anomaly_class"), composed(listed.filled("category"))
    image = home / listed.filled("image_path")
    if kind == normal:
        return Sample(image, NORMAL, name, "good", None, split)
    mask = listed.text("mask_path", needed=False)
    return Sample(image, ANOMALOUS, name, kind, None, split).with_masks([home / mask] if mask else [])

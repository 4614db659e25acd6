"""The list meta.json of VAND, also used by AnomalyCLIP, AdaCLIP, VCP-CLIP, Bayes-PFL and others."""

from collections.abc import Iterator
from pathlib import Path

from zsad.data.layouts._base import NORMAL, Layout, Sample
from zsad.data.layouts._listed import ListedImage, checked, entry, located, malformed, masks_at, read_list
from zsad.data.layouts._trees import another_tree, composed

SPLITS = ("train", "test")


class MetaJson(Layout):
    """``meta.json``: ``{"train": {<class>: [<entry>, ...]}, "test": {...}}``, with paths from its folder.

    An entry has ``img_path``, ``cls_name``, ``anomaly`` (0 or 1), and maybe ``mask_path`` and ``specie_name`` (the
    kind); other keys are ignored. The root is the folder, or the file itself, with any name.
    """

    title = "List meta.json"
    is_list = True
    about = "Any data with the list of VAND, AnomalyCLIP, AdaCLIP, VCP-CLIP, Bayes-PFL (meta.json)."

    @classmethod
    def samples(cls, root: Path) -> list[Sample]:
        """All samples, in the order of the list; the training images first.

        Raises:
            InputError: there is no such list, it is malformed, or none of its images exists.
        """
        file = root if root.is_file() else root / "meta.json"
        if not file.is_file():
            remedy = "name the folder of meta.json, or the file where it is called otherwise"
            raise another_tree("this layout", "a list meta.json", root, remedy)
        meta = read_list(file)
        if not isinstance(meta, dict) or not any(split in meta for split in SPLITS):
            content = f"keys {', '.join(meta) or 'none'}" if isinstance(meta, dict) else f"a {type(meta).__name__}"
            raise malformed("meta.json is a JSON object of train and test, or one of these", str(file), content)
        return checked(
            [sample for split in SPLITS for sample in _samples_of_part(file, split, meta.get(split, {}))], file
        )


def _samples_of_part(file: Path, split: str, part: object) -> Iterator[Sample]:
    if not isinstance(part, dict):
        raise malformed(f"{split} is a JSON object of classes", str(file), repr(part))
    for name, entries in part.items():
        where = f"{file}, {split}, class {name!r}"
        if not isinstance(entries, list):
            raise malformed("a class is a JSON list of entries", where, repr(entries))
        if not entries and split == "test":
            raise malformed("a class has entries to be tested on", where, "none")
        for number, value in enumerate(entries, start=1):
            listed = entry(value, f"{where}, entry {number}")
            if split == "test" or listed.text("img_path"):  # Bayes-PFL's empty training splits hold one without a path
                yield _sample(file.parent, split, listed)


def _sample(root: Path, split: str, listed: ListedImage) -> Sample:
    label, image = listed.label("anomaly"), located(root, listed.filled("img_path"))
    kind = listed.text("specie_name", needed=False) or "anomaly"
    masks = masks_at(root, label, listed.text("mask_path", needed=False), image)
    state = "good" if label == NORMAL else kind
    return Sample(image, label, composed(listed.filled("cls_name")), state, None, split).with_masks(masks)

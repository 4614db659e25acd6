"""Lists in JSON Lines, one image a line, as used by AA-CLIP and ACD-CLIP."""

from pathlib import Path

from zsad.data.layouts._base import NORMAL, Layout, Sample
from zsad.data.layouts._listed import ListedImage, by_line, checked, located, masks_at
from zsad.data.layouts._trees import another_tree, composed


class Jsonl(Layout):
    """``*.jsonl``: a line is a JSON object of one image, with paths from the folder of the file.

    It has ``image_path``, ``label`` (0 or 1), ``class_name``, and ``mask_path`` if there is a mask. The root is the
    file, or a folder with one such file. AA-CLIP keeps its lists elsewhere: put them next to the folders they name.
    """

    title = "List in JSON Lines"
    is_list = True
    about = "Any data with the list of AA-CLIP and ACD-CLIP (*.jsonl); all of it counts as test."

    @classmethod
    def samples(cls, root: Path) -> list[Sample]:
        """All samples, in the order of the list.

        Raises:
            InputError: there is no such list, it is malformed, or none of its images exists.
        """
        file = _list_at(root)
        return checked([_sample(file.parent, line) for line in by_line(file)], file)


def _list_at(root: Path) -> Path:
    if root.is_file():
        return root
    lists = [file for file in root.iterdir() if _is_list(file)] if root.is_dir() else []
    if len(lists) != 1:
        raise another_tree("this layout", "one list *.jsonl", root, "name the file")
    return lists[0]


def _is_list(file: Path) -> bool:
    return file.suffix.lower() == ".jsonl" and file.name[0] != "." and file.is_file()


def _sample(root: Path, listed: ListedImage) -> Sample:
    label, image = listed.label("label"), located(root, listed.filled("image_path"))
    masks = masks_at(root, label, listed.text("mask_path", needed=False), image)
    kind = "good" if label == NORMAL else "anomaly"
    return Sample(image, label, composed(listed.filled("class_name")), kind, None, "test").with_masks(masks)

"""The tree of MVTec AD with a mask file for each defect, and saturation thresholds for these.

<class>/{train,validation}/good/*
<class>/test/<kind>/<stem>.png
<class>/ground_truth/<kind>/<stem>/NNN.png   one for each defect; the value of its pixels is its kind
<class>/defects_config.json                  how many pixels of each kind suffice
"""

from collections.abc import Collection, Iterator
from dataclasses import replace
from pathlib import Path

from zsad.data.layouts._base import NORMAL, Sample
from zsad.data.layouts._mvtec_tree import class_folders, samples_in_tree
from zsad.data.layouts._trees import images_of, name_of

CONFIG = "defects_config.json"


def samples_with_saturation(title: str, root: Path, classes: Collection[str]) -> list[Sample]:
    """All samples of the classes; of a class the images of training, then those of validation, first.

    Args:
        title: of the data set, for errors.
        root: the folder of the data set, or of one class.
        classes: that are read; other folders are ignored.

    Raises:
        InputError: ``root`` does not exist, has another tree or other classes, or contains no image.
    """
    samples = samples_in_tree(title, root, classes)
    folders = [folder for folder in class_folders(root) if name_of(folder) in classes]
    return [sample for folder in folders for sample in _of_class(folder, samples)]


def _of_class(folder: Path, samples: list[Sample]) -> Iterator[Sample]:
    name, config = name_of(folder), folder / CONFIG
    own = [sample for sample in samples if sample.class_name == name]
    yield from (sample for sample in own if sample.split == "train")
    for image in images_of(folder / "validation" / "good"):
        yield Sample(image, NORMAL, name, "good", None, "train")
    saturation = config if config.is_file() else None
    yield from (replace(sample, saturation=saturation) for sample in own if sample.split == "test")

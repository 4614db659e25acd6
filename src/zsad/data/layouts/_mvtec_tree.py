"""The tree of MVTec AD, in which many other data sets are published too.

<class>/train/<kind>/*          kind "good" is normal
<class>/test/<kind>/*
<class>/ground_truth/<kind>/*   masks, named as in ``_trees``
"""

from collections.abc import Collection, Iterator
from dataclasses import replace
from pathlib import Path

from zsad.data.layouts._base import ANOMALOUS, NORMAL, Sample
from zsad.data.layouts._trees import another_tree, folders_in, images_of, masks_of, name_of, spelled
from zsad.errors import InputError


def samples_in_tree(title: str, root: Path, classes: Collection[str] = (), good: str = "good") -> list[Sample]:
    """All samples of all classes, in natural order; of a class the training images first.

    Args:
        title: of the data set, for errors.
        root: the folder of the data set, or of one class.
        classes: that are read; other folders are ignored. All if None.
        good: the kind of normal images.

    Raises:
        InputError: ``root`` does not exist, has another tree or other classes, or contains no image.
    """
    folders = [folder for folder in class_folders(root) if not classes or name_of(folder) in classes]
    if not folders:
        raise _another_tree(title, root, classes)
    samples = [sample for folder in folders for sample in _samples_of_class(folder, good)]
    if not samples:
        raise InputError("train and test folders contain images", root, "check that the data set is complete")
    return samples


def is_tree(root: Path) -> bool:
    """Whether this is the folder of a class, or of classes."""
    return bool(class_folders(root))


def _another_tree(title: str, root: Path, classes: Collection[str]) -> InputError:
    if classes:
        remedy = "name the folder of these, or use the layout 'mvtec' for another data set in such folders"
        return another_tree(title, f"folders <class>/test/<kind> of its classes {', '.join(classes)}", root, remedy)
    remedy = "name the folder of the data set or of one class, or use the layout 'folder'"
    return another_tree(title, "folders <class>/test/<kind>", root, remedy)


def class_folders(root: Path) -> list[Path]:
    """The folders of the classes; the root itself where it is the folder of one; none in another tree."""
    return [root] if _is_class(root) else [folder for folder in folders_in(root) if _is_class(folder)]


def _is_class(folder: Path) -> bool:
    return bool(folders_in(folder / "test") or folders_in(folder / "train"))


def _samples_of_class(folder: Path, good: str) -> Iterator[Sample]:
    class_name = name_of(folder)
    for split in ("train", "test"):
        for kind in folders_in(folder / split):
            if kind.name == good:
                yield from (Sample(image, NORMAL, class_name, "good", None, split) for image in images_of(kind))
            else:
                images, truth = images_of(kind), spelled(folder / "ground_truth" / kind.name)
                masks = masks_of(images, kind, truth) if split == "test" else {}
                for image in images:
                    sample = Sample(image, ANOMALOUS, class_name, name_of(kind), None, split)
                    yield sample.with_masks(masks.get(image, ()))


def repacked(title: str, tree: str, root: Path, class_name: str) -> list[Sample]:
    """All samples of a data set that is not in its own folder structure.

    Args:
        title, tree: of the layout, for errors.
        root: ``<class>/{train,test,ground_truth}/<kind>/*``, or the folder of the class.
        class_name: of all samples, whatever the name of the folder.

    Raises:
        InputError: ``root`` does not exist, has another structure, or several classes.
    """
    samples = samples_in_tree(title, root) if is_tree(root) else []
    if len({sample.class_name for sample in samples}) != 1:
        raise another_tree(title, f"{tree}, or one class in the tree of MVTec AD", root)
    return [replace(sample, class_name=class_name) for sample in samples]

"""Data sets of one class as this field passes them on: in the tree of MVTec AD, under a name of the packer's."""

from dataclasses import replace
from pathlib import Path

from zsad.data.layouts._base import Sample
from zsad.data.layouts._mvtec_tree import is_tree, samples_in_tree
from zsad.data.layouts._trees import another_tree


def repacked(title: str, tree: str, root: Path, class_name: str) -> list[Sample]:
    """All samples of a data set that does not have its own tree.

    Args:
        title, tree: of the layout, for errors.
        root: ``<class>/{train,test,ground_truth}/<kind>/*``, or the folder of the class.
        class_name: that they get, whatever the folder is called.

    Raises:
        InputError: ``root`` does not exist, has a third tree, or has several classes.
    """
    found = samples_in_tree(title, root) if is_tree(root) else []
    if len({one.class_name for one in found}) != 1:
        raise another_tree(title, f"{tree}, or one class in the tree of MVTec AD", root)
    return [replace(one, class_name=class_name) for one in found]

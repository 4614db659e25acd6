"""Kaputt: items in trays of retail logistics, with tables in Parquet files."""

from collections.abc import Iterator
from pathlib import Path

from zsad.data.layouts._base import ANOMALOUS, NORMAL, Layout, Sample
from zsad.data.layouts._listed import ListedImage, checked, located, malformed
from zsad.data.layouts._parquet import rows
from zsad.data.layouts._trees import another_tree, composed

SPLITS = {"train": "train", "validation": "train", "test": "test"}
"""Ours, by that of the table."""
TABLE = "query-{}.parquet"
FULL, CROPPED = "query-image", "query-crop"
UNNAMED = "other"
"""The class of an item without a material; the data set has it too."""
COLUMNS = {"item_material": str, "defect_types": str, "defect": bool}


class Kaputt(Layout):
    """``datasets/query-<split>.parquet`` (train, validation, test) and the images that they name in ``query-image/``.

    Columns ``query_image`` (or ``query_crop``), ``defect``, ``defect_types`` and ``item_material``, which is the class.
    The root is the data set, or its folder ``query-crop`` for the crops of the items; the tables may also lie in the
    root itself, and paths begin there. Images of validation count as training images. The masks of the data set show
    items and not defects, and reference images are of single items and not all without defects: neither are read.
    """

    title = "Kaputt"
    about = (
        "Kaputt, 238,421 images of over 48,000 items in trays, by material, no masks of defects (Höfer et al. 2025, "
        "kaputt-dataset.com; CC BY-NC-ND 4.0)"
    )
    has_masks = False
    is_list = True

    @classmethod
    def samples(cls, root: Path) -> list[Sample]:
        """All samples, in the order of the tables.

        Raises:
            InputError: there is no table, it is malformed, or none of its images exists.
            DependencyError: pyarrow is not installed.
        """
        home = root.parent if root.name in (FULL, CROPPED) else root
        column = "query_crop" if root.name == CROPPED else "query_image"
        folder = next((each for each in (home / "datasets", home) if _tables(each)), home)
        if not (tables := _tables(folder)):
            raise another_tree(cls.title, f"tables datasets/{TABLE.format('<split>')}", root)
        images = home / (CROPPED if column == "query_crop" else FULL)
        base = images if images.is_dir() else home
        return [one for split, path in tables.items() for one in checked([*_of_table(path, split, column, base)], path)]


def _tables(folder: Path) -> dict[str, Path]:
    """The tables in a folder, by split."""
    named = {split: folder / TABLE.format(split) for split in SPLITS}
    return {split: path for split, path in named.items() if path.is_file()}


def _of_table(file: Path, split: str, column: str, base: Path) -> Iterator[Sample]:
    for row in rows(file, {column: str, **COLUMNS}):
        image, name = located(base, row.filled(column)), composed(row.text("item_material")) or UNNAMED
        yield Sample(image, _label(row), name, _kind(row), None, SPLITS[split])


def _label(row: ListedImage) -> int | None:
    defect = row.values["defect"]
    return None if defect is None else ANOMALOUS if defect else NORMAL


def _kind(row: ListedImage) -> str:
    """The types of its defects, joined by ``+``."""
    label = _label(row)
    if label is None:
        return "unknown"
    types = sorted(filter(None, (one.strip() for one in row.text("defect_types").split(","))))
    if label == NORMAL and types:
        raise malformed("an image without a defect has no defect_types", row.where, ", ".join(types))
    return "good" if label == NORMAL else "+".join(types) or "defect"

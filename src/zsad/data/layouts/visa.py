"""VisA: twelve objects, with the list of its one-class split."""

from itertools import zip_longest
from pathlib import Path
from types import MappingProxyType

from zsad.data.layouts._base import ANOMALOUS, NORMAL, Layout, PublishedCount, Sample
from zsad.data.layouts._mvtec_tree import samples_in_tree
from zsad.data.layouts._trees import folders_in, images_of, incomplete
from zsad.documents import DocumentError
from zsad.errors import InputError
from zsad.spreadsheets import cells

COLUMNS = ["object", "split", "label", "image", "mask"]
LABELS = {"normal": NORMAL, "anomaly": ANOMALOUS}
SPLITS = {"train": "train", "test": "test"}
FULL_CLASS = PublishedCount(normal=100, anomalous=100, train=900)


class VisA(Layout):
    """``split_csv/1cls.csv`` (object, split, label, image, mask) next to ``<class>/Data/{Images,Masks}``.

    Also the tree that the authors' script makes of it, ``1cls/<class>/{train,test}/{good,bad}``, known as visa_pytorch.
    """

    title = "VisA"
    about = "VisA, 12 objects (Zou et al. 2022, github.com/amazon-science/spot-diff; CC BY 4.0)"
    classes = (
        *("candle", "capsules", "cashew", "chewinggum", "fryum", "macaroni1", "macaroni2", "pcb1", "pcb2", "pcb3"),
        *("pcb4", "pipe_fryum"),
    )
    counts = MappingProxyType(
        {
            "candle": FULL_CLASS,
            "capsules": PublishedCount(normal=60, anomalous=100, train=542),
            "cashew": PublishedCount(normal=50, anomalous=100, train=450),
            "chewinggum": PublishedCount(normal=50, anomalous=100, train=453),
            "fryum": PublishedCount(normal=50, anomalous=100, train=450),
            "macaroni1": FULL_CLASS,
            "macaroni2": FULL_CLASS,
            "pcb1": PublishedCount(normal=100, anomalous=100, train=904),
            "pcb2": PublishedCount(normal=100, anomalous=100, train=901),
            "pcb3": PublishedCount(normal=101, anomalous=100, train=905),
            "pcb4": PublishedCount(normal=101, anomalous=100, train=904),
            "pipe_fryum": PublishedCount(normal=50, anomalous=100, train=450),
        }
    )

    @classmethod
    def samples(cls, root: Path) -> list[Sample]:
        """All samples, in the order of the list.

        Raises:
            InputError: ``root`` has another tree, the list cannot be read, or does not match the images.
        """
        table = root / "split_csv" / "1cls.csv"
        if not table.is_file():
            tree = root / "1cls" if (root / "1cls").is_dir() else root
            return samples_in_tree("VisA has split_csv/1cls.csv, or", tree, cls.classes)
        listed = _listed(root, table)
        _check_whole(listed, root)
        return listed


def _listed(root: Path, table: Path) -> list[Sample]:
    try:
        header, *rows = cells(table) or [[]]
        entries = [dict(zip_longest(header, row[: len(header)], fillvalue="")) for row in rows]
        return [_sample(root, *(row[column] for column in COLUMNS)) for row in entries]
    except (OSError, DocumentError, KeyError) as error:
        raise InputError(
            f"VisA's list has columns {', '.join(COLUMNS)}; splits train, test; labels normal, anomaly",
            f"{table}: {error!r}",
            "take split_csv/1cls.csv from github.com/amazon-science/spot-diff",
        ) from error


def _sample(root: Path, name: str, split: str, label: str, image: str, mask: str) -> Sample:
    at = root / mask if mask else None
    kind = "good" if LABELS[label] == NORMAL else "anomaly"
    return Sample(root / image, LABELS[label], name, kind, at if at and at.is_file() else None, SPLITS[split])


def _check_whole(listed: list[Sample], root: Path) -> None:
    """Refuse a data set whose images differ from its list: its metrics would be of another split."""
    images = {image for folder in folders_in(root) for image in images_of(folder / "Data" / "Images")}
    missing = [sample.image for sample in listed if sample.image not in images]
    if missing or not listed:
        raise incomplete(VisA.title, missing or ["all of the list"], root)
    extra = sorted(images - {sample.image for sample in listed})
    if extra:
        value = f"{extra[0]} and {len(extra) - 1} more" if len(extra) > 1 else extra[0]
        raise InputError(f"VisA's list names all images below {root}", value, "remove what is not of the data set")

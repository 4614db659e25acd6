"""HeadCT: slices of the head, with a list of those that show a haemorrhage."""

from pathlib import Path
from types import MappingProxyType

from zsad.data.layouts._base import ANOMALOUS, NORMAL, Layout, PublishedCount, Sample
from zsad.data.layouts._mvtec_tree import repacked
from zsad.data.layouts._trees import images_of, incomplete
from zsad.errors import InputError
from zsad.spreadsheets import cells

STATES = {"0": (NORMAL, "good"), "1": (ANOMALOUS, "haemorrhage")}
COLUMNS = ["id", "hemorrhage"]


class HeadCT(Layout):
    """``labels.csv`` (id, hemorrhage) next to ``head_ct/``, where ``NNN.png`` is the image of an id; without masks."""

    title = "HeadCT"
    about = "200 CT slices of the head, no masks (Kitamura 2018, kaggle.com/felipekitamura; see there for terms)"
    classes = ("head CT",)
    counts = MappingProxyType({"head CT": PublishedCount(normal=100, anomalous=100)})
    has_masks = False

    @classmethod
    def samples(cls, root: Path) -> list[Sample]:
        """All images, in the order of the list.

        Raises:
            InputError: ``root`` has another tree, the list cannot be read, or is not that of the images.
        """
        table = root / "labels.csv"
        if not table.is_file():
            return repacked(cls.title, "labels.csv next to head_ct", root, cls.classes[0])
        listed, images = _listed(table), _by_id(root / "head_ct")
        if missing := [f"{number:03}.png" for number in listed if number not in images]:
            raise incomplete(cls.title, missing, root)
        if extra := sorted(images.keys() - listed.keys()):
            raise _wrong(table, f"no line for {images[extra[0]].name}")
        return [
            Sample(images[number], label, cls.classes[0], kind, None, "test")
            for number, (label, kind) in listed.items()
        ]


def _listed(table: Path) -> dict[int, tuple[int, str]]:
    try:
        header, *rows = [[cell.strip() for cell in row] for row in cells(table)]
        if header != COLUMNS:
            raise ValueError(f"columns {', '.join(header)}")
        labels = {int(number): STATES[state] for number, state in rows}
    except (OSError, ValueError, KeyError) as error:
        raise _wrong(table, repr(error)) from error
    if len(labels) < len(rows):
        raise _wrong(table, "an id twice")
    return labels


def _by_id(folder: Path) -> dict[int, Path]:
    return {int(image.stem): image for image in images_of(folder) if image.stem.isdecimal()}


def _wrong(table: Path, problem: str) -> InputError:
    rule = "HeadCT's list has the columns id, hemorrhage (0 or 1), and a line for each image"
    return InputError(rule, f"{table}: {problem}", "unpack it again from kaggle.com/felipekitamura")

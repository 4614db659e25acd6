"""Lists of images in JSON: checked entries, and paths written on another machine."""

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PureWindowsPath

from zsad.data.layouts._base import ANOMALOUS, NORMAL, Sample
from zsad.data.layouts._trees import composed, images_at, spelled
from zsad.documents import LIST_LIMIT, DocumentError, read_json, read_json_lines
from zsad.errors import InputError


@dataclass(frozen=True)
class ListedImage:
    """One entry of a list.

    Attributes:
        values: by key.
        where: file and position, for errors.
    """

    values: Mapping[str, object]
    where: str

    def text(self, key: str, needed: bool = True) -> str:
        """A text value; ``""`` where it is null, or missing and optional.

        Raises:
            InputError: it is something else, or missing.
        """
        if needed and key not in self.values:
            raise malformed(f"an entry has the key {key}", self.where, f"keys {', '.join(self.values) or 'none'}")
        value = self.values.get(key)
        if value is not None and not isinstance(value, str):
            raise malformed(f"{key} is text", self.where, repr(value))
        return value or ""

    def filled(self, key: str) -> str:
        """A text value that is not empty.

        Raises:
            InputError: it is something else, or missing.
        """
        text = self.text(key)
        if not text.strip():
            raise malformed(f"{key} is not empty", self.where, repr(self.values[key]))
        return text

    def label(self, key: str) -> int:
        """A value that is 0 (normal) or 1 (anomalous), also as 0.0 and 1.0, false and true.

        Raises:
            InputError: it is something else, or missing.
        """
        if key not in self.values:
            raise malformed(f"an entry has the key {key}", self.where, f"keys {', '.join(self.values) or 'none'}")
        if self.values[key] not in (NORMAL, ANOMALOUS):
            raise malformed(f"{key} is 0 (normal) or 1 (anomalous)", self.where, repr(self.values[key]))
        return ANOMALOUS if self.values[key] else NORMAL


def entry(value: object, where: str) -> ListedImage:
    """A value of a list as an entry.

    Raises:
        InputError: it is no JSON object.
    """
    if not isinstance(value, dict):
        raise malformed("an entry is a JSON object", where, repr(value))
    return ListedImage(value, where)


def read_list(file: Path) -> object:
    """The content of a list in JSON.

    Raises:
        InputError: it cannot be read.
    """
    try:
        return read_json(file, LIST_LIMIT, file_names=True)
    except (OSError, DocumentError) as error:
        raise _unreadable(file, error) from error


def by_line(file: Path) -> Iterator[ListedImage]:
    """The entries of a list in JSON Lines.

    Raises:
        InputError: it cannot be read, or a line is no JSON object.
    """
    try:
        for number, value in read_json_lines(file, file_names=True):
            yield entry(value, f"{file}, line {number}")
    except (OSError, DocumentError) as error:
        raise _unreadable(file, error) from error


def _unreadable(file: Path, error: Exception) -> InputError:
    rule = error.rule if isinstance(error, DocumentError) else "a list of images can be read"
    return malformed(rule, str(file), error)


def malformed(rule: str, where: str, value: object) -> InputError:
    """The error for a malformed list."""
    return InputError(rule, f"{where}: {value}", "correct it there, or create the list again")


def located(root: Path, written: str) -> Path:
    r"""The file that a path in a list stands for.

    Args:
        root: where relative paths begin.
        written: the path, with ``/`` or ``\``. An absolute one of another machine, which is not here, is looked for
            below the root: by all its parts, then without the first, and so on.

    Returns:
        The path; what is not here is kept as it was written, so that whoever needs the file can name it.
    """
    path = PureWindowsPath(written)
    plain = spelled(root / path.as_posix())
    if not path.root or os.path.exists(plain):
        return plain
    parts = path.parts[1:]
    tails = (spelled(root.joinpath(*parts[start:])) for start in range(len(parts)))
    return next((tail for tail in tails if os.path.exists(tail)), plain)


def masks_at(root: Path, label: int, written: str, image: Path) -> Sequence[Path]:
    """The masks of an entry: one file, or those in a folder with the name of the image.

    Empty for normal images, and where no mask or another folder is named.
    """
    if label == NORMAL or not written.strip():
        return ()
    mask = located(root, written)
    if not os.path.isdir(mask):
        return (mask,)
    return images_at(mask) if composed(mask.name) == composed(image.stem) else ()


def checked(samples: Sequence[Sample], file: Path) -> list[Sample]:
    """The samples of a list; masks in a folder that is empty or missing count as lost, without an error.

    Some lists of data sets without masks name masks: those of Bayes-PFL for HeadCT, BrainMRI and Br35H.

    Raises:
        InputError: there is no sample, or not one of the images exists.
    """
    if not samples:
        raise malformed("a list names images", str(file), "no entries")
    if not any(os.path.exists(sample.image) and not os.path.isdir(sample.image) for sample in samples):
        value = f"{file}: none of {len(samples)}, such as {samples[0].image}"
        remedy = "put the list into the folder where its paths begin, next to the images"
        raise InputError("the images of a list exist", value, remedy)
    empty = {folder for folder in {sample.mask.parent for sample in samples if sample.mask} if _is_empty(folder)}
    return [
        replace(sample, mask=None, lost_mask=sample.mask) if sample.mask and sample.mask.parent in empty else sample
        for sample in samples
    ]


def _is_empty(folder: Path) -> bool:
    return not os.path.isdir(folder) or not any(folder.iterdir())

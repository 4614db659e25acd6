"""What layouts read trees with: folders, images and masks by name, and one error for a tree that is another."""

import os
import unicodedata
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

from zsad.data.sources import images_in, natural_key
from zsad.errors import InputError

ARCHIVE_LEFTOVER = "__MACOSX"
"""A folder that some archives leave beside their content."""


def folders_in(folder: Path) -> list[Path]:
    """Its folders, in natural order, without hidden ones; none where it does not exist."""
    if not folder.is_dir():
        return []
    shown = (one for one in folder.iterdir() if one.name[0] != "." and one.name != ARCHIVE_LEFTOVER and one.is_dir())
    return sorted(shown, key=natural_key)


def name_of(folder: Path) -> str:
    """What a folder is called, composed; also where it is named from within, as ``.``; a link by its own name."""
    return composed(os.path.basename(os.path.abspath(folder)))


def images_of(folder: Path) -> list[Path]:
    """Its images at every depth, in natural order; none where it does not exist."""
    return images_in(folder) if folder.is_dir() else []


def images_at(folder: Path) -> list[Path]:
    """Its images, without those of folders in it, in natural order; none where it does not exist."""
    return [one for one in images_of(folder) if one.parent == folder]


def path_below(folder: Path, image: Path) -> str:
    """The path of an image within a folder, with ``/`` and without suffix: in a flat folder, its stem; composed."""
    return composed((image.parent.relative_to(folder) / image.stem).as_posix())


def composed(name: str) -> str:
    """A name with letters such as ä as one character, whatever a file system or an archive made of them."""
    return unicodedata.normalize("NFC", name)


def spelled(path: Path) -> Path:
    """The path as it is spelled on disk, where that differs by composed or decomposed Unicode; else as it is."""
    if str(path).isascii() or os.path.exists(path):
        return path
    found = Path(path.anchor)
    for part in path.relative_to(path.anchor).parts:
        plain = found / part
        is_other = not part.isascii() and not os.path.exists(plain)
        found = _entries(found, _changed(found)).get(composed(part), plain) if is_other else plain
    return found


def _changed(folder: Path) -> int:
    try:
        return folder.stat().st_mtime_ns
    except OSError:
        return 0


@lru_cache(maxsize=64)
def _entries(folder: Path, changed: int) -> dict[str, Path]:
    """What lies in a folder, by composed names."""
    try:
        return {composed(one.name): one for one in folder.iterdir()}
    except OSError:
        return {}


def is_blank(mask: Path) -> bool:
    """Whether a mask marks nothing.

    Raises:
        InputError: it is no mask that can be read.
    """
    from zsad.data.masks import mask_of  # here, so that listing layouts stays quick

    found = mask_of(mask)
    return not (found.values > found.threshold).any()


def another_tree(
    title: str, tree: str, root: Path, remedy: str = "name the folder that it was unpacked to"
) -> InputError:
    """The error for a root that is missing or does not have a layout.

    Args:
        title: of the layout.
        tree: what it has, as a noun: ``"the folders images and masks"``.
        root: what the user named; the message says what lies in it.
        remedy: what to do about it.
    """
    return InputError(f"{title} has {tree}", f"{root} ({_content(root)})", remedy)


def incomplete(title: str, missing: Sequence[Path | str], root: Path) -> InputError:
    """The error for files that a data set must have and does not."""
    shown = ", ".join(str(one) for one in missing[:3]) + (", ..." if len(missing) > 3 else "")
    return InputError(f"{title} is complete", f"{len(missing)} missing below {root}: {shown}", "unpack it again")


def _content(root: Path) -> str:
    if not root.is_dir():
        return "not a folder" if root.exists() else "does not exist"
    names = sorted(one.name for one in root.iterdir() if one.name[0] != ".")
    return f"holds {', '.join(names[:4])}{', ...' if len(names) > 4 else ''}" if names else "empty"

"""Reading of folder structures: folders, images and masks by name, and the error for another structure.

Masks belong to the image of the same name, in a folder at the corresponding position:

    crack/000.png -> masks/000.png, masks/000_mask.png             one mask
                     masks/000_mask_1.png, masks/000_mask_2.png    several, numbered: their union
                     masks/000/000.png, masks/000/001.png          several, in a folder of the image's name

Names are compared after Unicode normalisation (NFC), and case-insensitively where nothing else fits.
"""

import os
import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path

from zsad.data.sources import images_in, natural_key
from zsad.errors import InputError

ARCHIVE_LEFTOVER = "__MACOSX"
"""A folder that some archives contain in addition to their content."""


def folders_in(folder: Path) -> list[Path]:
    """Its folders, in natural order, without hidden ones; none where it does not exist."""
    if not folder.is_dir():
        return []
    shown = (
        entry
        for entry in folder.iterdir()
        if entry.name[0] != "." and entry.name != ARCHIVE_LEFTOVER and entry.is_dir()
    )
    return sorted(shown, key=natural_key)


def name_of(folder: Path) -> str:
    """The normalised name of a folder, also where its path is ``.``; of a link its own name."""
    return composed(os.path.basename(os.path.abspath(folder)))


def images_of(folder: Path) -> list[Path]:
    """Its images at every depth, in natural order; none where it does not exist."""
    return images_in(folder) if folder.is_dir() else []


def images_at(folder: Path) -> list[Path]:
    """Its images, without those of folders in it, in natural order; none where it does not exist."""
    return [image for image in images_of(folder) if image.parent == folder]


def path_below(folder: Path, image: Path) -> str:
    """The path of an image within a folder, with ``/`` and without suffix: in a flat folder, its stem; normalised."""
    return composed((image.parent.relative_to(folder) / image.stem).as_posix())


def composed(name: str) -> str:
    """A name in Unicode normal form NFC, with letters such as ä as one character."""
    return unicodedata.normalize("NFC", name)


def spelled(path: Path) -> Path:
    """The path as on disk, where that differs in Unicode normalisation; else unchanged."""
    if str(path).isascii() or os.path.exists(path):
        return path
    resolved = Path(path.anchor)
    for part in path.relative_to(path.anchor).parts:
        plain = resolved / part
        is_other = not part.isascii() and not os.path.exists(plain)
        resolved = _entries(resolved, _changed(resolved)).get(composed(part), plain) if is_other else plain
    return resolved


def _changed(folder: Path) -> int:
    try:
        return folder.stat().st_mtime_ns
    except OSError:
        return 0


@lru_cache(maxsize=64)
def _entries(folder: Path, changed: int) -> dict[str, Path]:
    """The entries of a folder by normalised name."""
    try:
        return {composed(entry.name): entry for entry in folder.iterdir()}
    except OSError:
        return {}


def is_blank(mask: Path) -> bool:
    """Whether a mask has no anomalous pixel.

    Raises:
        InputError: it cannot be read as a mask.
    """
    from zsad.data.masks.ground_truth import read_mask_file  # here, so that listing layouts stays quick

    content = read_mask_file(mask)
    return not (content.values > content.threshold).any()


def another_tree(
    title: str, tree: str, root: Path, remedy: str = "name the folder that it was unpacked to"
) -> InputError:
    """The error for a root that is missing or does not have a layout.

    Args:
        title: of the layout.
        tree: its structure, as a noun: ``"the folders images and masks"``.
        root: as given by the user; the message says what is in it.
        remedy: for the message.
    """
    return InputError(f"{title} has {tree}", f"{root} ({_content(root)})", remedy)


def incomplete(title: str, missing: Sequence[Path | str], root: Path) -> InputError:
    """The error for missing files of a data set."""
    shown = ", ".join(str(path) for path in missing[:3]) + (", ..." if len(missing) > 3 else "")
    return InputError(f"{title} is complete", f"{len(missing)} missing below {root}: {shown}", "unpack it again")


def _content(root: Path) -> str:
    if not root.is_dir():
        return "not a folder" if root.exists() else "does not exist"
    names = sorted(entry.name for entry in root.iterdir() if entry.name[0] != ".")
    return f"holds {', '.join(names[:4])}{', ...' if len(names) > 4 else ''}" if names else "empty"


NUMBER = re.compile(r"[_-][0-9]+$")
ENDINGS = ("", "_mask", "_gt", "_label")
"""Default suffixes of stems of masks after those of their images."""

PathEntries = Iterable[tuple[str, Path]]
"""Files by their paths below a folder, see ``path_below``."""


def masks_below(folder: Path, ending: str = "") -> dict[str, Path]:
    """The masks of a folder by the paths of their images, at most one per image.

    Args:
        folder: of the masks, at any depth; it need not exist.
        ending: suffix of their stems after those of the images; other files are ignored.

    Raises:
        InputError: two masks for one image.
    """
    return {key: _only(masks) for key, masks in _named(_by_path(folder), (ending,)).items()}


def masks_of(
    images: Iterable[Path], home: Path, folder: Path, endings: Sequence[str] = ENDINGS
) -> dict[Path, tuple[Path, ...]]:
    """The masks of each image, in natural order; () where it has none.

    Args:
        images: all those below ``home``.
        home: their folder.
        folder: that of the masks, at any depth; it need not exist.
        endings: possible suffixes of the stems of masks after those of their images.

    Raises:
        InputError: two unnumbered masks for one image.
    """
    keys = {image: path_below(home, image) for image in images}
    entries = _by_path(folder)
    paired = _paired(keys, entries, endings)
    taken = {mask for masks in paired.values() for mask in masks}
    left = [(key.casefold(), mask) for key, mask in entries if mask not in taken]
    open_keys = {image: key.casefold() for image, key in keys.items() if not paired[image]}
    return paired | (_paired(open_keys, left, endings) if left else {})


def _paired(keys: Mapping[Path, str], entries: PathEntries, endings: Iterable[str]) -> dict[Path, tuple[Path, ...]]:
    homes = {key.rpartition("/")[0] for key in keys.values()}
    ways = _named(entries, endings), _numbered(entries, endings), _by_folder(entries, homes)
    return {image: _fitting(key, *ways) for image, key in keys.items()}


def _fitting(key: str, named: Mapping[str, list[Path]], *several: Mapping[str, list[Path]]) -> tuple[Path, ...]:
    """The masks of an image: one of its own, numbered ones, or a folder of them, which exclude each other."""
    own = [_only(named[key])] if key in named else []
    candidates = [masks for masks in (own, *(way.get(key, []) for way in several)) if masks]
    if len(candidates) > 1:
        raise _two_masks(candidates[0][0], candidates[1][0])
    return tuple(candidates[0]) if candidates else ()


def _only(masks: Sequence[Path]) -> Path:
    if len(masks) > 1:
        raise _two_masks(masks[0], masks[1])
    return masks[0]


def _two_masks(first: Path, second: Path) -> InputError:
    """Names that look alike but differ are shown as code points."""
    is_alike = composed(str(first)) == composed(str(second))
    names = [ascii(str(path)) if is_alike else str(path) for path in (first, second)]
    return InputError("an image has one mask, or numbered ones", " and ".join(names), "remove the wrong one")


def _by_path(folder: Path) -> list[tuple[str, Path]]:
    return [(path_below(folder, path), path) for path in images_of(folder)]


def _named(entries: PathEntries, endings: Iterable[str]) -> dict[str, list[Path]]:
    pairs = ((key, path, end) for key, path in entries for end in endings if key.endswith(end))
    return _grouped((key.removesuffix(end), path) for key, path, end in pairs)


def _numbered(entries: PathEntries, endings: Iterable[str]) -> dict[str, list[Path]]:
    """Those that have a number after an ending, such as ``_mask_1``; after a bare name it is part of the name."""
    bare = [(NUMBER.sub("", key), path) for key, path in entries if NUMBER.search(key)]
    return _named(bare, [ending for ending in endings if ending])


def _by_folder(entries: PathEntries, homes: set[str]) -> dict[str, list[Path]]:
    """Those in folders that contain no images."""
    return _grouped((key.rpartition("/")[0], path) for key, path in entries if key.rpartition("/")[0] not in homes)


def _grouped(entries: PathEntries) -> dict[str, list[Path]]:
    groups: defaultdict[str, list[Path]] = defaultdict(list)
    for key, path in entries:
        groups[key].append(path)
    return dict(groups)

"""Which masks an image has: those of its name, in a folder that lies as its own does.

    crack/000.png -> masks/000.png, masks/000_mask.png             one mask
                     masks/000_mask_1.png, masks/000_mask_2.png    several, numbered: what any of them marks
                     masks/000/000.png, masks/000/001.png          several, in a folder of the image's name

Names are the same in composed and in decomposed Unicode, and where nothing else fits, in capitals and small letters.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from zsad.data.layouts._trees import composed, images_of, path_below
from zsad.errors import InputError

NUMBER = re.compile(r"[_-][0-9]+$")
ENDINGS = ("", "_mask", "_gt", "_label")
"""What stems of masks have after those of their images, where nobody says otherwise."""

Entries = Iterable[tuple[str, Path]]
"""Files by their paths below a folder, as ``path_below`` says them."""


def masks_below(folder: Path, ending: str = "") -> dict[str, Path]:
    """The masks of a folder by the paths of their images, where each image has one at most.

    Args:
        folder: where they lie, at any depth; it need not exist.
        ending: what their stems have after those of the images; others are left out.

    Raises:
        InputError: two of them are of one image.
    """
    return {key: _only(masks) for key, masks in _named(_entries(folder), (ending,)).items()}


def masks_of(
    images: Iterable[Path], home: Path, folder: Path, endings: Sequence[str] = ENDINGS
) -> dict[Path, tuple[Path, ...]]:
    """The masks of each image, in natural order; () where it has none.

    Args:
        images: all those below ``home``.
        home: their folder.
        folder: that of the masks, at any depth; it need not exist.
        endings: what the stems of masks may have after those of their images.

    Raises:
        InputError: two masks that are not numbered are of one image.
    """
    keys = {one: path_below(home, one) for one in images}
    entries = _entries(folder)
    found = _paired(keys, entries, endings)
    taken = {mask for masks in found.values() for mask in masks}
    left = [(key.casefold(), one) for key, one in entries if one not in taken]
    open_keys = {one: key.casefold() for one, key in keys.items() if not found[one]}
    return found | (_paired(open_keys, left, endings) if left else {})


def _paired(keys: Mapping[Path, str], entries: Entries, endings: Iterable[str]) -> dict[Path, tuple[Path, ...]]:
    homes = {key.rpartition("/")[0] for key in keys.values()}
    ways = _named(entries, endings), _numbered(entries, endings), _by_folder(entries, homes)
    return {one: _fitting(key, *ways) for one, key in keys.items()}


def _fitting(key: str, named: Mapping[str, list[Path]], *several: Mapping[str, list[Path]]) -> tuple[Path, ...]:
    """The masks of an image. Its own one, numbered ones and a folder of them exclude each other."""
    one = [_only(named[key])] if key in named else []
    found = [masks for masks in (one, *(way.get(key, []) for way in several)) if masks]
    if len(found) > 1:
        raise _two_masks(found[0][0], found[1][0])
    return tuple(found[0]) if found else ()


def _only(masks: Sequence[Path]) -> Path:
    if len(masks) > 1:
        raise _two_masks(masks[0], masks[1])
    return masks[0]


def _two_masks(one: Path, other: Path) -> InputError:
    """Names that look alike and are not are told apart by their code points."""
    is_alike = composed(str(one)) == composed(str(other))
    said = [ascii(str(path)) if is_alike else str(path) for path in (one, other)]
    return InputError("an image has one mask, or numbered ones", " and ".join(said), "remove the wrong one")


def _entries(folder: Path) -> list[tuple[str, Path]]:
    return [(path_below(folder, one), one) for one in images_of(folder)]


def _named(entries: Entries, endings: Iterable[str]) -> dict[str, list[Path]]:
    pairs = ((key, one, end) for key, one in entries for end in endings if key.endswith(end))
    return _grouped((key.removesuffix(end), one) for key, one, end in pairs)


def _numbered(entries: Entries, endings: Iterable[str]) -> dict[str, list[Path]]:
    """Those that have a number after an ending, such as ``_mask_1``; after a bare name it is part of the name."""
    bare = [(NUMBER.sub("", key), one) for key, one in entries if NUMBER.search(key)]
    return _named(bare, [ending for ending in endings if ending])


def _by_folder(entries: Entries, homes: set[str]) -> dict[str, list[Path]]:
    """Those of folders that are not the home of any image."""
    return _grouped((key.rpartition("/")[0], one) for key, one in entries if key.rpartition("/")[0] not in homes)


def _grouped(entries: Entries) -> dict[str, list[Path]]:
    found: defaultdict[str, list[Path]] = defaultdict(list)
    for key, one in entries:
        found[key].append(one)
    return dict(found)

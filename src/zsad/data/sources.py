"""What a user names -> the picture files meant: files, folders and glob patterns."""

import os
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from zsad.errors import InputError

PICTURE_SUFFIXES = (
    *(".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".bmp", ".tif", ".tiff", ".webp"),
    *(".gif", ".ppm", ".pgm", ".pbm", ".pnm", ".avif", ".dcm"),
)
"""Files in a folder that count as pictures, whatever their case."""


def find_pictures(paths: Sequence[str | os.PathLike[str]]) -> list[Path]:
    """Picture files, in the order of the arguments, each once.

    Args:
        paths: each a file (taken whatever its suffix), a folder (searched at every depth for ``PICTURE_SUFFIXES``, in
            natural order: part2 before part10; hidden files and folders are left out), or a glob pattern with ``*``,
            ``?``, ``[...]`` or ``**`` (a folder that matches is searched like one that was named). Files are not
            opened: a broken picture is found here and refused when it is decoded.

    Returns:
        The paths. Two paths to one file count as one, in the first position.

    Raises:
        InputError: a path does not exist, a folder cannot be read, or a folder or pattern yields no picture.
    """
    arguments = [paths] if isinstance(paths, str | os.PathLike) else paths
    return _once(picture for argument in arguments for picture in _expand(Path(argument)))


def pictures_in(folder: Path) -> list[Path]:
    """The pictures of a folder at every depth, in natural order; there may be none.

    Links to folders are followed, but no folder is entered twice, so that a loop ends.
    """
    return sorted(_walk(folder), key=natural_key)


def natural_key(path: Path) -> list[tuple[list[str | int], str]]:
    """Sorts part by part, numbers by their value; differences of case only break ties."""
    return [([_number(piece) for piece in re.split("([0-9]+)", part.casefold())], part) for part in path.parts]


def _expand(path: Path) -> list[Path]:
    if os.path.isdir(path):
        return _not_empty(pictures_in(path), path, "a folder must contain a picture")
    if os.path.exists(path):
        return [path]
    if _is_pattern(str(path)):
        return _not_empty(_matches(path), path, "a pattern must match a picture")
    raise InputError("a path to pictures must exist", path, "check the spelling")


def _not_empty(pictures: list[Path], path: Path, rule: str) -> list[Path]:
    if not pictures:
        raise InputError(rule, path, f"check the path; pictures end in {' '.join(PICTURE_SUFFIXES)}")
    return pictures


def _walk(folder: Path) -> Iterator[Path]:
    entered = {os.path.realpath(folder)}
    for where, folders, files in os.walk(folder, followlinks=True, onerror=_refuse):
        folders[:] = [name for name in sorted(folders) if _is_new(os.path.join(where, name), entered)]
        yield from filter(_is_picture, (Path(where, name) for name in files))


def _is_new(folder: str, entered: set[str]) -> bool:
    real = os.path.realpath(folder)
    if os.path.basename(folder).startswith(".") or real in entered:
        return False
    entered.add(real)
    return True


def _refuse(error: OSError) -> None:
    raise InputError("a folder must be readable", error.filename, "check its permissions") from error


def _matches(pattern: Path) -> list[Path]:
    """What a pattern matches, less what is hidden below its fixed part. ``**`` does not follow links to folders."""
    fixed = next(index for index, part in enumerate(pattern.parts) if _is_pattern(part))
    root, rest = Path(*pattern.parts[:fixed]), Path(*pattern.parts[fixed:])
    try:
        matches = sorted(root.glob(str(rest)), key=natural_key)
    except ValueError as error:  # "**" as a piece of a name
        raise InputError("a pattern must be well formed", pattern, "write ** only as a whole folder name") from error
    shown = (match for match in matches if not _is_hidden(match.relative_to(root)))
    return [picture for match in shown for picture in _of_match(match)]


def _of_match(match: Path) -> list[Path]:
    if match.is_dir():
        return pictures_in(match)
    return [match] if _is_picture(match) else []


def _is_hidden(path: Path) -> bool:
    return any(part.startswith(".") and part != ".." for part in path.parts)


def _is_picture(path: Path) -> bool:
    return path.suffix.lower() in PICTURE_SUFFIXES and not path.name.startswith(".")


def _is_pattern(text: str) -> bool:
    return re.search(r"[*?\[]", text) is not None


def _once(pictures: Iterable[Path]) -> list[Path]:
    """Each file under the first of its paths."""
    first: dict[str, Path] = {}
    for picture in pictures:
        first.setdefault(os.path.realpath(picture), picture)
    return list(first.values())


def _number(piece: str) -> str | int:
    return int(piece) if piece.isascii() and piece.isdecimal() else piece

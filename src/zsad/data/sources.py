"""Image files from files, folders and glob patterns, and a record of what was skipped or ignored there."""

import os
import re
import stat
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from zsad.data.frame_names import frame_name
from zsad.data.kinds import HEAD_LENGTH, READ, SERIES, FileKind, kind_of, kind_of_name, refusal
from zsad.errors import InputError
from zsad.wording import pluralised

IMAGE_SUFFIXES = tuple(dict.fromkeys(suffix for kind in READ for suffix in kind.suffixes))
"""Suffixes of images in folders, case-insensitive; files of unknown suffix are recognised by their first bytes."""

SYSTEM_FOLDERS = frozenset(
    ("__macosx", "@eadir", "#recycle", "#snapshot", "@recycle", "@recently-snapshot", "$recycle.bin", "lost+found")
)
"""Folders of archives, file servers and operating systems: thumbnails and deleted files. Case-insensitive. Others are
hidden (``.@__thumb``, ``.thumbnails``, ``._part.jpg``)."""

PLAIN_SUFFIXES = frozenset(
    (
        *(".txt", ".csv", ".tsv", ".json", ".jsonl", ".ndjson", ".xml", ".yaml", ".yml", ".toml", ".ini"),
        *(".cfg", ".conf", ".md", ".rst", ".log", ".html", ".htm", ".css", ".db", ".sqlite", ".lock", ".tmp"),
        *(".part", ".bak", ".lnk", ".url", ".py", ".ipynb", ".js", ".sh", ".bat", ".ps1", ".exe", ".dll"),
        *(".so", ".m", ".r", ".doc", ".docx", ".xls", ".xlsx", ".ppt", ".pptx", ".odt", ".ods", ".odp"),
        *(".rtf", ".pdf", ".eps", ".ps", ".ai", ".ico", ".icns", ".cur", ".zip", ".tar", ".tgz", ".bz2"),
        *(".xz", ".7z", ".rar", ".md5", ".sha1", ".sha256", ".xmp", ".aae", ".pp3", ".dop", ".icc", ".icm"),
        *(".pt", ".pth", ".ckpt", ".onnx", ".safetensors", ".pkl", ".pickle", ".wav", ".mp3", ".m4a", ".stl"),
        *(".step", ".stp", ".dwg", ".dxf"),
    )
)
"""Suffixes of files that are clearly no images and are not opened."""
INDEX = "dicomdir"
"""The directory file of a DICOM medium, itself in DICOM format."""

SPECIAL = {
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


@dataclass(frozen=True)
class SkippedFile:
    """A file or folder that may hold an image and cannot be read.

    Attributes:
        source: its path.
        message: rule, value and remedy.
    """

    source: str
    message: str


@dataclass
class ImageScan:
    """The result of a search for images.

    Attributes:
        images: in the order of the arguments and in natural order.
        skipped_files: unsupported image formats, broken links, pipes and devices, unreadable folders.
        other_files: the number of files that are clearly no images, by suffix (``""`` without one).
        skipped_folders: names of folders that are hidden or in ``SYSTEM_FOLDERS``.
    """

    images: list[Path] = field(default_factory=list)
    skipped_files: list[SkippedFile] = field(default_factory=list)
    other_files: Counter[str] = field(default_factory=Counter)
    skipped_folders: Counter[str] = field(default_factory=Counter)

    def add(self, more: "ImageScan") -> None:
        """Add the result of another search."""
        self.images += more.images
        self.skipped_files += more.skipped_files
        self.other_files += more.other_files
        self.skipped_folders += more.skipped_folders

    def without_repetitions(self) -> "ImageScan":
        """The same, with each file under the first of its paths."""
        skipped_files = list({left_out.source: left_out for left_out in self.skipped_files}.values())
        return replace(self, images=_once(self.images), skipped_files=skipped_files)

    def describe_ignored(self) -> str:
        """The ignored files and folders as a sentence; empty if there are none.

        >>> found = ImageScan(other_files=Counter({".csv": 2, "": 1}), skipped_folders=Counter({"@eaDir": 1}))
        >>> found.describe_ignored()
        '3 other files (2 .csv, 1 without suffix), 1 hidden or thumbnail folder (@eaDir)'
        """
        parts = []
        if self.other_files:
            what = [f"{count:,} {suffix or 'without suffix'}" for suffix, count in self.other_files.most_common(5)]
            more = ["…"] * (len(self.other_files) > 5)
            parts.append(f"{pluralised(self.other_files.total(), 'other file')} ({', '.join(what + more)})")
        if self.skipped_folders:
            names = [name for name, _ in self.skipped_folders.most_common(5)]
            folders = pluralised(self.skipped_folders.total(), "hidden or thumbnail folder")
            parts.append(f"{folders} ({', '.join(names)})")
        return ", ".join(parts)


def scan(paths: Sequence[str | os.PathLike[str]], *, with_series: bool = False) -> ImageScan:
    """Image files, in the order of the arguments, each once, and what was skipped or ignored.

    Args:
        paths: each a file (with any suffix), a folder (searched at every depth, in natural order: part2
            before part10; hidden files and folders and ``SYSTEM_FOLDERS`` are skipped), or a glob pattern with ``*``,
            ``?``, ``[...]`` or ``**`` (a folder that matches is searched). Only files of
            unknown suffix are opened: a broken image is listed here and refused when it is decoded. The name of a
            frame, such as ``scan.nii.gz#17``, is a path too.
        with_series: also NIfTI volumes and videos, which are otherwise among the files that cannot be read.

    Returns:
        The result. Two paths to one file count once, in the first position.

    Raises:
        InputError: a path does not exist, a given folder cannot be read, or one of the paths yields nothing.
    """
    arguments = [paths] if isinstance(paths, str | os.PathLike) else paths
    listing, accepted = ImageScan(), (*READ, *SERIES) if with_series else READ
    for argument in arguments:
        listing.add(_expand(Path(argument), accepted))
    return listing.without_repetitions()


def find_images(paths: Sequence[str | os.PathLike[str]]) -> list[Path]:
    """The images of :func:`scan`; at least one where a path was given.

    Raises:
        InputError: as :func:`scan`, or nothing that was found can be read.
    """
    listing = scan(paths)
    check_not_empty(listing)
    return listing.images


def check_not_empty(listing: ImageScan) -> None:
    """Refuse a search that found no readable image.

    Raises:
        InputError: names the first file that cannot be read.
    """
    if listing.skipped_files and not listing.images:
        value = (
            f"{pluralised(len(listing.skipped_files), 'file')} that cannot, such as {listing.skipped_files[0].source}"
        )
        raise InputError("there is an image that can be read", value, "convert them to PNG or TIFF, or name others")


def images_in(folder: Path) -> list[Path]:
    """The images of a folder at every depth, in natural order; there may be none.

    Links to folders are followed, but no folder is entered twice, so that loops end. A file with the suffix of an
    image that is none, such as a broken link or a pipe, is left to the decoder to refuse.

    Raises:
        InputError: a folder cannot be read.
    """
    images = [path for path in _files(folder, _refuse) if is_image(path)]
    return sorted(images, key=natural_key)


def scan_folder(folder: Path, accepted: Sequence[FileKind] = READ) -> ImageScan:
    """The content of a folder at every depth, in natural order; as :func:`scan`, but it may be empty.

    Args:
        folder: its path.
        accepted: the formats of images.

    Raises:
        InputError: the folder itself cannot be read.
    """
    listing = ImageScan()

    def closed(error: OSError) -> None:
        if Path(error.filename) == folder:
            _refuse(error)
        reason = str(error.strerror)
        listing.skipped_files.append(
            _left_out(error.filename, "a folder must be readable", reason, "check its permissions")
        )

    for path in sorted(_files(folder, closed, listing.skipped_folders), key=natural_key):
        _sort(path, listing, accepted)
    return listing


def natural_key(path: Path) -> list[tuple[list[str | int], str]]:
    """Sort key by path component, numbers by value; case only breaks ties."""
    return [([_number(piece) for piece in re.split("([0-9]+)", part.casefold())], part) for part in path.parts]


def is_system_file(name: str) -> bool:
    """Whether a file or folder of this name is hidden or belongs to an archive, a file server or the system.

    >>> [is_system_file(name) for name in ("@eaDir", "._part.jpg", "__MACOSX", "good")]
    [True, True, True, False]
    """
    return name.startswith(".") or name.casefold() in SYSTEM_FOLDERS


def is_image(path: Path) -> bool:
    """Whether a file is in a supported format: by its suffix, else by its first bytes."""
    if kind_of_name(path.name) in READ or _is_plain(path):
        return not _is_plain(path)
    try:
        return path.is_file() and _kind_by_content(path) in READ
    except OSError:
        return False


def _expand(path: Path, accepted: Sequence[FileKind]) -> ImageScan:
    if os.path.isdir(path):
        return _not_empty(scan_folder(path, accepted), path, "a folder must contain an image")
    if os.path.exists(path) or ((named := frame_name(path)) and named[0].is_file()):
        return ImageScan([path])
    if _is_pattern(str(path)):
        return _not_empty(_matches(path, accepted), path, "a pattern must match an image")
    raise InputError("a path to images must exist", path, "check the spelling")


def _not_empty(listing: ImageScan, path: Path, rule: str) -> ImageScan:
    if not listing.images and not listing.skipped_files:
        ignored = listing.describe_ignored()
        raise InputError(
            rule,
            f"{path} ({ignored or 'empty'})",
            "check the path; images end in .png .jpg .tif .bmp .webp .dcm .heic and the like",
        )
    return listing


def _files(folder: Path, closed: Callable[[OSError], None], passed: Counter[str] | None = None) -> Iterator[Path]:
    """All files that are not hidden; ``passed`` counts the folders that are skipped."""
    entered = {os.path.realpath(folder)}
    for where, folders, files in os.walk(folder, followlinks=True, onerror=closed):
        leftovers = [name for name in folders if is_system_file(name)]
        if passed is not None:
            passed.update(leftovers)
        folders[:] = [
            name for name in sorted(folders) if name not in leftovers and _is_new(os.path.join(where, name), entered)
        ]
        yield from (Path(where, name) for name in files if not is_system_file(name))


def _is_new(folder: str, entered: set[str]) -> bool:
    real = os.path.realpath(folder)
    if real in entered:
        return False
    entered.add(real)
    return True


def _refuse(error: OSError) -> None:
    raise InputError("a folder must be readable", error.filename, "check its permissions") from error


def _sort(path: Path, listing: ImageScan, accepted: Sequence[FileKind]) -> None:
    """Add a file to the right list."""
    if _is_plain(path):
        listing.other_files[path.suffix.lower()] += 1
        return
    try:
        special = SPECIAL.get(stat.S_IFMT(path.stat().st_mode))
        if special:
            listing.skipped_files.append(_left_out(path, "an image is a file", special, "move it away"))
        elif (named := kind_of_name(path.name)) in accepted:
            listing.images.append(path)
        else:
            _sort_by_kind(path, _kind_by_content(path) or named, listing, accepted)
    except OSError as error:
        reason = f"a link to {os.readlink(path)}, which is not there" if path.is_symlink() else str(error.strerror)
        listing.skipped_files.append(
            _left_out(path, "an image must be readable", reason, "restore it, or move it away")
        )


def _sort_by_kind(path: Path, kind: FileKind | None, listing: ImageScan, accepted: Sequence[FileKind]) -> None:
    if kind is None:
        listing.other_files[path.suffix.lower()] += 1
    elif kind in accepted:
        listing.images.append(path)
    else:
        listing.skipped_files.append(SkippedFile(str(path), str(refusal(kind, str(path)))))


def _kind_by_content(path: Path) -> FileKind | None:
    with path.open("rb") as file:
        return kind_of(file.read(HEAD_LENGTH), path.name)


def _is_plain(path: Path) -> bool:
    return path.suffix.lower() in PLAIN_SUFFIXES or path.name.lower() == INDEX


def _left_out(path: str | Path, rule: str, reason: str, remedy: str) -> SkippedFile:
    return SkippedFile(str(path), str(InputError(rule, f"{path} ({reason})", remedy)))


def _matches(pattern: Path, accepted: Sequence[FileKind]) -> ImageScan:
    """What a pattern matches, without what is hidden below its fixed part. ``**`` does not follow links to folders."""
    fixed = next(index for index, part in enumerate(pattern.parts) if _is_pattern(part))
    root, rest = Path(*pattern.parts[:fixed]), Path(*pattern.parts[fixed:])
    try:
        matches = sorted(root.glob(str(rest)), key=natural_key)
    except ValueError as error:  # "**" as a piece of a name
        raise InputError("a pattern must be well formed", pattern, "write ** only as a whole folder name") from error
    listing = ImageScan()
    for match in matches:
        if any(is_system_file(part) for part in match.relative_to(root).parts if part != ".."):
            continue
        if match.is_dir():
            listing.add(scan_folder(match, accepted))
        else:
            _sort(match, listing, accepted)
    return listing


def _is_pattern(text: str) -> bool:
    return re.search(r"[*?\[]", text) is not None


def _once(images: Iterable[Path]) -> list[Path]:
    """Each file under the first of its paths."""
    first: dict[str, Path] = {}
    for image in images:
        first.setdefault(os.path.realpath(image), image)
    return list(first.values())


def _number(piece: str) -> str | int:
    return int(piece) if piece.isascii() and piece.isdecimal() else piece

"""Lists of image files: from standard input (``-``) and from files (``@FILE``)."""

import os
import sys
from collections.abc import Sequence
from pathlib import Path

from zsad.data.sources import ImageScan, SkippedFile, scan
from zsad.documents import LIST_LIMIT, DocumentError, read_bytes
from zsad.errors import InputError

STANDARD_INPUT = "-"
MARK = "@"
NUL = b"\0"


def scan_arguments(arguments: Sequence[str], *, with_series: bool = False) -> ImageScan:
    """The images that a command line names, each once, in its order.

    Args:
        arguments: each ``-`` for a list in standard input, ``@FILE`` for one in a file, or what
            :func:`zsad.data.sources.scan` takes. A path of the very name ``@FILE`` is that path, and no list.
        with_series: as of :func:`zsad.data.sources.scan`.

    Returns:
        The result. A path of a list that does not exist, or yields nothing, is among the skipped files: the rest goes
        on.

    Raises:
        InputError: a list cannot be read or is empty; else as :func:`zsad.data.sources.scan`.
    """
    found = ImageScan()
    for argument in arguments:
        if not is_list(argument):
            found.add(scan([argument], with_series=with_series))
            continue
        for path in read_list(argument):
            found.add(_scan_listed(path, with_series))
    return found.without_repetitions()


def is_list(argument: str) -> bool:
    """Whether an argument stands for a list.

    >>> is_list("-"), is_list("@images.txt"), is_list("images/"), is_list("@")
    (True, True, False, False)
    """
    return argument == STANDARD_INPUT or (argument[:1] == MARK != argument and not os.path.lexists(argument))


def read_list(argument: str) -> list[str]:
    """The paths of a list, one a line; blank lines are skipped. With a NUL in it, paths end in NUL, not in a line end.

    Args:
        argument: ``-`` or ``@FILE``.

    Raises:
        InputError: it cannot be read, is too large, or has no path.
    """
    where = "standard input" if argument == STANDARD_INPUT else argument.removeprefix(MARK)
    try:
        content = _standard_input() if argument == STANDARD_INPUT else read_bytes(Path(where), LIST_LIMIT)
    except (OSError, DocumentError) as error:
        raise InputError("a list of images is a readable file", f"{where} ({error})", "correct its path") from error
    paths = paths_of(content)
    if not paths:
        raise InputError("a list of images has a path in each line", f"none in {where}", "check what wrote it")
    return paths


def paths_of(content: bytes) -> list[str]:
    r"""The paths in the content of a list.

    >>> paths_of(b"a.png\r\n\nb c.png\n"), paths_of(b"a\n1.png\0b.png\0")
    (['a.png', 'b c.png'], ['a\n1.png', 'b.png'])
    """
    if NUL in content:
        return [os.fsdecode(path) for path in content.split(NUL) if path]
    lines = content.removeprefix(b"\xef\xbb\xbf").split(b"\n")
    return [os.fsdecode(line.removesuffix(b"\r")) for line in lines if line.strip()]


def _standard_input() -> bytes:
    content = sys.stdin.buffer.read(LIST_LIMIT + 1)
    return read_bytes(content, LIST_LIMIT)


def _scan_listed(path: str, with_series: bool) -> ImageScan:
    try:
        return scan([path], with_series=with_series)
    except InputError as error:
        return ImageScan(skipped_files=[SkippedFile(path, str(error))])

"""Files in object stores, by their URLs, through fsspec: ``s3://``, ``gs://``, ``az://``, and local ones.

A URL names a file in a store and nothing else: schemes that unpack archives, run commands or open other hosts are
refused, so that a list of somebody else's can only point to objects that the credentials of the user open.
"""

import os
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from zsad.errors import ConfigError, DependencyError, InputError, ZsadError
from zsad.files import write_atomically

PACKAGES = {
    "s3": "zsad[remote]",
    "s3a": "zsad[remote]",
    "gs": "gcsfs",
    "gcs": "gcsfs",
    "az": "adlfs",
    "abfs": "adlfs",
    "memory": "zsad[remote]",
    "file": "zsad[remote]",
}
"""What is installed for each scheme. ``memory`` lives as long as the process, for tests."""
MAX_BYTES = 2**32
"""Of one object: 4 GiB, more than any image that is read."""

SCHEME = "[A-Za-z][A-Za-z0-9+.-]*"
"""How a URL begins, as a regular expression (RFC 3986, 3.1)."""

_URL = re.compile(f"({SCHEME})://")


def is_url(text: object) -> bool:
    """Whether a text begins like a URL.

    >>> is_url("s3://bucket/a.png"), is_url("C:/a.png"), is_url("a/b.png")
    (True, False, False)
    """
    return isinstance(text, str) and _URL.match(text) is not None


def check_schemes(urls: Iterable[str]) -> None:
    """Check, before any work, that there is a file system for every URL.

    Raises:
        ConfigError: of a scheme that is not supported.
        DependencyError: of one whose package is not installed.
    """
    for scheme in sorted({match[1] for url in urls if (match := _URL.match(url))}):
        _file_system(f"{scheme}://")


def local_path(url: str) -> str | None:
    """The path of a ``file://`` URL; None for another one.

    >>> local_path("file:///data/a.png"), local_path("s3://bucket/a.png")
    ('/data/a.png', None)
    """
    return url[len("file://") :] if url.startswith("file://") else None


def read(url: str, limit: int = MAX_BYTES) -> bytes:
    """The content of an object.

    Args:
        url: of the object.
        limit: its greatest size in bytes.

    Raises:
        InputError: it does not exist, is no object, may not be read, or is too large.
        ConfigError, DependencyError: as :func:`check_schemes`.
        ZsadError: the store does not answer: that is no fault of the object.
    """
    store = _file_system(url)
    with _asking(url):
        content = _beginning(store, url, limit + 1)
    if len(content) > limit:
        raise InputError(f"an object has at most {limit:,} bytes", f"{url} with more", "name another one")
    return content


def _beginning(store: Any, url: str, length: int) -> bytes:
    """So many bytes of an object, in one request; stores answer a range of an empty one with different errors."""
    try:
        content: bytes = store.cat_file(url, start=0, end=length)
    except (FileNotFoundError, IsADirectoryError, PermissionError):
        raise
    except Exception:
        if store.size(url):
            raise
        return b""
    return content


class Output:
    """A folder for files that are written whole: on this machine, or in an object store.

    An object appears in its store when all of it has arrived; a local file is written under a hidden name and renamed.

    Args:
        where: a path or a URL.
    """

    def __init__(self, where: str | os.PathLike[str]) -> None:
        text = os.fspath(where)
        local = local_path(text) if is_url(text) else text
        self.folder = None if local is None else Path(local)
        self.name = text.rstrip("/")

    def __str__(self) -> str:
        return self.name

    def write(self, name: str, content: bytes, *, lasting: bool = False) -> None:
        """Write or replace a file.

        Args:
            name: relative to the folder, with slashes.
            content: of the file.
            lasting: whether a local file is flushed to disk.

        Raises:
            InputError: the folder cannot be written.
            ZsadError: the store does not answer.
        """
        if self.folder is not None:
            try:
                write_atomically(self.folder / name, content, lasting)
            except OSError as error:
                raise InputError("the output folder must be writable", error, "choose another --out") from error
            return
        url = f"{self.name}/{name}"
        store = _file_system(url)
        with _asking(url):
            store.pipe_file(url, content)

    def read(self, name: str, limit: int = MAX_BYTES) -> bytes | None:
        """The content of a file; None where it does not exist.

        Raises:
            InputError: it cannot be read.
            ZsadError: the store does not answer.
        """
        if self.folder is not None:
            path = self.folder / name
            try:
                return path.read_bytes() if path.is_file() else None
            except OSError as error:
                raise InputError("a file of the output folder must be readable", error, "check its rights") from error
        url = f"{self.name}/{name}"
        store = _file_system(url)
        with _asking(url):
            if not store.exists(url):
                return None
        return read(url, limit)

    def names(self, folder: str) -> list[str]:
        """The names of the files in a folder below, sorted; empty where it does not exist.

        Raises:
            InputError: it cannot be read.
            ZsadError: the store does not answer.
        """
        if self.folder is not None:
            below = self.folder / folder
            try:
                return sorted(path.name for path in below.iterdir()) if below.is_dir() else []
            except OSError as error:
                raise InputError("the output folder must be readable", error, "choose another --out") from error
        url = f"{self.name}/{folder}"
        store = _file_system(url)
        store.invalidate_cache()
        with _asking(url):
            try:
                paths = store.ls(url, detail=False)
            except FileNotFoundError:  # nothing has been written there
                return []
            return sorted(path.rstrip("/").rsplit("/", 1)[-1] for path in paths)


def _file_system(url: str) -> Any:
    match = _URL.match(url)
    scheme = match[1] if match else url
    if scheme not in PACKAGES:
        known = ", ".join(f"{name}://" for name in PACKAGES)
        raise ConfigError(f"a URL begins with one of {known}", url[:200], "copy the file there, or name a path")
    try:
        import fsspec

        return fsspec.filesystem(scheme)
    except ImportError as error:
        package = PACKAGES[scheme]
        raise DependencyError(f"{scheme}:// needs a package", error, f"run: pip install '{package}'") from error


@contextmanager
def _asking(url: str) -> Iterator[None]:
    """Around a request: what is wrong with one object is an ``InputError``, and with the store a ``ZsadError``."""
    try:
        yield
    except FileNotFoundError as error:
        raise InputError("an object must exist", url, "check the URL") from error
    except IsADirectoryError as error:
        raise InputError("a URL names an object", f"{url} (a folder)", "name the objects in it") from error
    except PermissionError as error:
        raise InputError("an object must be readable and writable", f"{url} ({error})", "check its rights") from error
    except ZsadError:
        raise
    except Exception as error:  # every store has its own
        reason = f"{type(error).__name__}: {error}".splitlines()[0]
        remedy = "check the network, the endpoint and the credentials, and run the same command again"
        raise ZsadError(f"the store of {url} must answer", reason, remedy) from error

"""Shared by all decoders: the limit on size, and the conversion of exceptions and warnings of the libraries."""

import logging
import lzma
import struct
import sys
import threading
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from importlib import import_module
from io import BufferedReader, BytesIO

from PIL import Image, UnidentifiedImageError

from zsad.errors import DependencyError, InputError

Stream = BytesIO | BufferedReader

MAX_PIXELS = 178_956_970
"""Maximum number of pixels (rows x cols), the limit of Pillow's own check. 512 MiB of 8-bit RGB."""

_lower = ContextVar("pixels of an image, at most, where that is less", default=MAX_PIXELS)

UNREADABLE: tuple[type[Exception], ...] = (
    OSError,
    ValueError,
    TypeError,
    LookupError,
    AttributeError,
    ArithmeticError,
    AssertionError,
    EOFError,
    MemoryError,
    RuntimeError,  # with NotImplementedError and RecursionError
    SyntaxError,  # Pillow: "not a TIFF file", "broken PNG file"
    SystemError,
    struct.error,
    zlib.error,
    lzma.LZMAError,
)
"""What Pillow, tifffile and pydicom raise on broken files (found by cutting and flipping bytes)."""


for _library in ("tifffile", "pydicom", "PIL"):  # their messages on broken files become errors or notes here
    logging.getLogger(_library).addHandler(logging.NullHandler())


@contextmanager
def reading(name: str, *further: type[Exception]) -> Iterator[None]:
    """Around calls to a decoding library: its exceptions become an ``InputError``, its warnings are ignored.

    Args:
        name: of the file.
        further: exceptions of this library that are not in ``UNREADABLE``.
    """
    try:
        with _quiet():
            yield
    except Image.DecompressionBombError as error:
        raise _too_large(name, str(error)) from error
    except (*UNREADABLE, *further) as error:
        raise unreadable(name, _reason(error)) from error


def require(package: str, extra: str, what: str, name: str) -> None:
    """Refuse a file that needs a package of an extra which is not installed."""
    try:
        import_module(package)
    except ImportError as error:
        raise DependencyError(f"{what} needs {package}", name, f"run: pip install 'zsad[{extra}]'") from error


def unreadable(name: str, reason: str) -> InputError:
    """The error for a file that cannot be decoded."""
    return InputError(
        "an image must be a whole image file of a known kind",
        f"{name} ({reason})",
        "replace it, or save it again as PNG, JPEG, BMP, TIFF or WebP",
    )


@contextmanager
def at_most(pixels: int) -> Iterator[None]:
    """A lower limit than ``MAX_PIXELS`` for the images that this thread decodes within."""
    before = _lower.set(pixels)
    try:
        yield
    finally:
        _lower.reset(before)


def check_size(rows: int, cols: int, name: str) -> None:
    """Refuse an image without pixels or with more than the limit; to be called before its pixels are decoded."""
    if rows < 1 or cols < 1:
        raise InputError("an image must have at least one pixel", f"{name} ({rows} x {cols})", "replace the image")
    if rows * cols > min(_lower.get(), MAX_PIXELS):
        raise _too_large(name, f"{rows} x {cols} = {rows * cols} pixels")


def _too_large(name: str, value: str) -> InputError:
    rule = f"an image has at most {min(_lower.get(), MAX_PIXELS)} pixels"
    return InputError(rule, f"{name} ({value})", "scale it down or cut it into pieces first")


def _reason(error: BaseException) -> str:
    if isinstance(error, UnidentifiedImageError):
        return "not an image of a known format"
    first_line = str(error).strip().partition("\n")[0]
    return first_line or type(error).__name__


_lock = threading.Lock()
_readers = 0
_filters = warnings.catch_warnings()


@contextmanager
def _quiet() -> Iterator[None]:
    """Ignore the warnings of the decoding libraries, in any number of threads at once.

    ``catch_warnings`` of two threads that overlap would restore each other's filters; so the first reader in sets the
    filter and the last one out restores what was before. Only warnings from within these libraries are ignored.
    """
    if getattr(
        sys.flags, "context_aware_warnings", False
    ):  # free-threaded Python: catch_warnings is safe, and per thread
        with warnings.catch_warnings():
            _ignore()
            yield
        return
    _enter()
    try:
        yield
    finally:
        _leave()


def _ignore() -> None:
    warnings.filterwarnings("ignore", module=r"(PIL|tifffile|pydicom)\b")


def _enter() -> None:
    global _readers, _filters
    with _lock:
        if _readers == 0:
            _filters = warnings.catch_warnings()
            _filters.__enter__()
            _ignore()
        _readers += 1


def _leave() -> None:
    global _readers
    with _lock:
        _readers -= 1
        if _readers == 0:
            _filters.__exit__(None, None, None)

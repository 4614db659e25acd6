"""NumPy's archives, which others may have written: bounded, and never with pickled objects in them."""

from pathlib import Path
from zipfile import ZipFile

import numpy as np

from zsad.errors import InputError
from zsad.files import open_file

LIMIT = 2**30
"""Bytes that the arrays of an archive take up; what evaluations write has some megabytes."""


def read_arrays(path: Path, limit: int = LIMIT) -> dict[str, np.ndarray]:
    """The arrays of an ``.npz`` file, by name.

    Args:
        path: of a file as ``numpy.savez`` and ``numpy.savez_compressed`` write it.
        limit: greatest number of bytes that all arrays take up together; a compressed file can claim any.

    Raises:
        InputError: it is no such file, is damaged, holds Python objects or is larger.
    """
    try:
        with open_file(path) as content:
            with ZipFile(content) as archive:
                size = sum(member.file_size for member in archive.infolist())
            if size > limit:
                raise ValueError(f"{size:,} bytes where at most {limit:,} are expected")
            content.seek(0)
            with np.load(content, allow_pickle=False) as archive:
                arrays = {name: archive[name] for name in archive.files}
        if not all(
            isinstance(array, np.ndarray) for array in arrays.values()
        ):  # NumPy passes other members on as bytes
            raise ValueError("a member that is no array")
        return arrays
    except InputError:
        raise
    except Exception as error:  # of a damaged archive: from zipfile, zlib, NumPy and the tokenizer of its headers
        rule = "arrays lie in an .npz file, whole and without Python objects"
        raise InputError(rule, f"{path} ({error})", "evaluate again, into another folder") from error

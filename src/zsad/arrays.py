"""Untrusted NumPy archives: limited in size, and never with pickled objects."""

from pathlib import Path
from zipfile import ZipFile

import numpy as np

from zsad.errors import InputError
from zsad.files import open_file

LIMIT = 2**30
"""Maximum bytes of all arrays of an archive; those of evaluations have some megabytes."""


def read_arrays(path: Path, limit: int = LIMIT) -> dict[str, np.ndarray]:
    """The arrays of an ``.npz`` file, by name.

    Args:
        path: of a file from ``numpy.savez`` or ``numpy.savez_compressed``.
        limit: maximum bytes of all arrays together, uncompressed.

    Raises:
        InputError: it is no such file, damaged, contains Python objects or is larger.
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

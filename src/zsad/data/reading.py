"""A file, or what is behind a URL, as an image or as the reason why there is none."""

import os

from zsad import remote
from zsad.data.decode import decode
from zsad.data.decoding.ranges import Range
from zsad.errors import DependencyError, InputError
from zsad.types import DecodedImage, Failure


def read_file(path: str | os.PathLike[str], value_range: Range | None = None) -> DecodedImage | Failure:
    """The image in a file, a frame of one, or the image behind a URL (:mod:`zsad.remote`), or why there is none.

    Raises:
        ZsadError: the store of a URL does not answer.
    """
    try:
        if remote.is_url(path):
            local = remote.local_path(os.fspath(path))
            source = remote.read(os.fspath(path)) if local is None else local
            return decode(source, os.fspath(path), value_range)
        return decode(path, value_range=value_range)
    except (InputError, DependencyError) as error:
        return Failure(os.fspath(path), str(error))

"""Files of PyTorch: zip archives, including TorchScript, and the format before 2020, a stream of pickles and arrays.

with opened(path) as file:
    file.content                      # the pickle as data, see zsad.tensors.pickles
    file.load(stored)                 # one of its tensors; tensors that share storage do so here too
"""

import re
import struct
import sys
import zipfile
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from io import BufferedReader, BytesIO
from pathlib import Path

import torch
from torch import Tensor

from zsad.tensors.pickled import Name, Storage, StoredTensor
from zsad.tensors.pickles import read_pickle

PICKLE, CODE, DIRECTORY = 16 * 2**20, 8 * 2**20, 32 * 2**20
"""Maximum bytes of a pickle, of the code of a TorchScript archive, and of the directory of an archive."""
MAGIC = 0x1950A86A20F9469CFC6C
"""The magic number of the stream format."""
CLASS = re.compile(r"^class (\w+)\(Module\):\n  __parameters__ = \[(.*)\]\n  __buffers__ = \[(.*)\]\n", re.MULTILINE)


class TensorFile(ABC):
    """An open tensor file.

    Attributes:
        content: the saved object; tensors in it are :class:`zsad.tensors.pickled.StoredTensor`.
        is_module: whether it is a TorchScript module.
    """

    content: object
    is_module = False

    def __init__(self) -> None:
        self._loaded: dict[tuple[str, torch.dtype], Tensor] = {}

    def load(self, stored: StoredTensor) -> Tensor:
        """The tensor, on the CPU.

        Raises:
            ValueError, OSError, zipfile.BadZipFile: its storage is missing, truncated or damaged.
        """
        array = self._array(stored.storage, stored.dtype)
        return array.as_strided(stored.size, stored.stride, stored.storage.start + stored.offset)

    def _array(self, storage: Storage, dtype: torch.dtype) -> Tensor:
        key = (storage.key, dtype)
        if key not in self._loaded:
            content = self._bytes(storage)
            count = len(content) // dtype.itemsize
            self._loaded[key] = (
                torch.frombuffer(content, dtype=dtype, count=count) if count else torch.empty(0, dtype=dtype)
            )
        array, itemsize = self._loaded[key], (storage.dtype or dtype).itemsize
        if len(array) * dtype.itemsize < (storage.start + storage.count) * itemsize:
            raise ValueError(f"the array {storage.key} is too short")
        return array

    @abstractmethod
    def _bytes(self, storage: Storage) -> bytearray:
        """The whole storage with this key."""

    def names_of(self, kind: Name) -> set[str] | None:
        """Names of parameters and buffers of a TorchScript class, from its code; None if it does not name them."""
        return None


@contextmanager
def opened(path: Path) -> Iterator[TensorFile]:
    """Open a file of ``torch.save`` or ``torch.jit.save``.

    Raises:
        Exception: of any type, if it is damaged or no such file.
    """
    with path.open("rb") as file:
        is_archive = file.read(4) == b"PK\x03\x04"
        file.seek(0)
        yield _Archive(file) if is_archive else _LegacyFile(file)


class _Archive(TensorFile):
    def __init__(self, file: BufferedReader) -> None:
        super().__init__()
        _check_directory(file)
        self.zip = zipfile.ZipFile(file)
        self.entries = {entry.filename: entry for entry in self.zip.infolist()}
        if len(self.entries) < len(self.zip.infolist()):
            raise ValueError("an archive with two entries of one name")
        if sum(entry.compress_size for entry in self.entries.values()) > file.seek(0, 2):
            raise ValueError("an archive whose entries overlap")
        pickles = [name for name in self.entries if re.fullmatch(r"[^/]+/data\.pkl", name)]
        if len(pickles) != 1:
            raise ValueError("an archive that PyTorch did not write")
        self.root = pickles[0].removesuffix("data.pkl")
        self.is_module = f"{self.root}constants.pkl" in self.entries
        self.content = read_pickle(BytesIO(self._read("data.pkl", PICKLE)))
        self.swapped = self._is_swapped()
        self._code: dict[str, dict[str, set[str]]] = {}
        self._code_left = CODE

    def _is_swapped(self) -> bool:
        order = bytes(self._read("byteorder", 16)) if f"{self.root}byteorder" in self.entries else b"little"
        if order not in (b"little", b"big"):
            raise ValueError("an unknown order of bytes")
        return order.decode() != sys.byteorder

    def _array(self, storage: Storage, dtype: torch.dtype) -> Tensor:
        is_new = (storage.key, dtype) not in self._loaded
        array = super()._array(storage, dtype)
        if is_new and self.swapped and dtype.itemsize > 1:
            array.untyped_storage().byteswap(dtype)
        return array

    def _bytes(self, storage: Storage) -> bytearray:
        name = f"data/{storage.key}"
        entry = self.entries.get(self.root + name)
        if entry is None:
            raise ValueError(f"an archive without {name}")
        if entry.compress_type != zipfile.ZIP_STORED:
            raise ValueError("a compressed array, which PyTorch does not write")
        return self._read(name, entry.compress_size)

    def _read(self, name: str, most: int) -> bytearray:
        entry = self.entries[self.root + name]
        if entry.file_size > most:
            raise ValueError(f"{name} of {entry.file_size} bytes")
        content = bytearray(entry.file_size)
        with self.zip.open(entry) as file:
            done = 0
            while part := file.read(2**20):  # the checksum is verified at the end
                content[done : done + len(part)] = part
                done += len(part)
        if done < len(content):
            raise ValueError(f"{name} is cut off")
        return content

    def names_of(self, kind: Name) -> set[str] | None:
        name = f"code/{kind.module.replace('.', '/')}.py"
        if name not in self._code:
            text = self._read(name, self._code_left).decode("utf-8") if self.root + name in self.entries else ""
            self._code_left -= len(text)
            classes = CLASS.finditer(text)
            self._code[name] = {match[1]: set(re.findall(r'"([^"]*)"', match[2] + match[3])) for match in classes}
        return self._code[name].get(kind.name)


def _check_directory(file: BufferedReader) -> None:
    """Refuse a directory of millions of entries before it is read."""
    size = file.seek(0, 2)
    file.seek(max(0, size - 2**16 - 22))
    tail = file.read()
    place = tail.rfind(b"PK\x05\x06")
    if place < 0 or len(tail) < place + 22:
        raise ValueError("an archive that is cut off")
    (length,) = struct.unpack_from("<I", tail, place + 12)
    if length == 0xFFFFFFFF:  # in the zip64 record of large archives
        where = tail.rfind(b"PK\x06\x06", 0, place)
        if where < 0 or len(tail) < where + 56:
            raise ValueError("an archive that is cut off")
        (length,) = struct.unpack_from("<Q", tail, where + 40)
    if length > DIRECTORY:
        raise ValueError("an archive of millions of entries")
    file.seek(0)


class _LegacyFile(TensorFile):
    """Three header pickles, the content, the keys of its storages, and the storages."""

    def __init__(self, file: BufferedReader) -> None:
        super().__init__()
        self.file = file
        start = BytesIO(file.read(PICKLE))
        if read_pickle(start) != MAGIC:
            raise ValueError("a pickle that PyTorch did not write")
        read_pickle(start), read_pickle(start)
        arrays: dict[str, torch.dtype | None] = {}
        self.content = read_pickle(start, arrays)
        keys = read_pickle(start)
        if type(keys) is not list or any(type(key) not in (str, int) for key in keys):
            raise ValueError("a stream without the keys of its arrays")
        self.size = file.seek(0, 2)
        self.places = dict(self._places(map(str, keys), arrays, start.tell()))

    def _places(
        self, keys: Iterable[str], arrays: dict[str, torch.dtype | None], place: int
    ) -> Iterator[tuple[str, tuple[int, int]]]:
        """Offset and length of each storage in bytes."""
        for key in keys:
            dtype = arrays.get(key)
            if dtype is None:
                raise ValueError("an array of an unknown type")
            self.file.seek(place)
            count = int.from_bytes(self.file.read(8), "little")
            yield key, (place + 8, count * dtype.itemsize)
            place += 8 + count * dtype.itemsize
            if place > self.size:
                raise ValueError("a stream that is cut off")

    def _bytes(self, storage: Storage) -> bytearray:
        if storage.key not in self.places:
            raise ValueError(f"a stream without the array {storage.key}")
        place, length = self.places[storage.key]
        content = bytearray(length)
        self.file.seek(place)
        if self.file.readinto(content) != length:
            raise ValueError("a stream that is cut off")
        return content

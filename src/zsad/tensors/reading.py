"""The one reader of untrusted tensor files: safetensors, archives of PyTorch, TorchScript, older files.

No code in them runs: objects other than tensors become data or an empty placeholder. Memory is limited by the size of
the file, and every storage is checked against its description.
"""

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors import safe_open
from torch import Tensor

from zsad.errors import WeightsError
from zsad.tensors.archives import TensorFile, opened
from zsad.tensors.pickled import Shell, StoredTensor, UnreadableTensor

T = TypeVar("T")
HEADER = 16 * 2**20
"""Maximum bytes of the header of a safetensors file; 600 tensors need 100 kB."""
DEPTH, NODES = 32, 100_000
KNOWN = {
    b"": "an empty file",
    b"version https://git-lfs": "a pointer of Git LFS in the place of the file",
    b"<": "a page of a web site in the place of the file",
    b"\x89HDF": "a file of Keras or TensorFlow",
    b"GGUF": "a file of llama.cpp",
    b"\x1f\x8b": "a file compressed by gzip",
    b"Rar!": "an archive of RAR",
    b"7z\xbc\xaf": "an archive of 7-Zip",
}
"""Files mistaken for tensor files, by their first bytes."""
FETCH = {
    "a pointer of Git LFS in the place of the file": "run git lfs pull, or download the file itself",
    "a file of Keras or TensorFlow": "name the weights for PyTorch",
    "a file of llama.cpp": "name the weights for PyTorch",
    "a file compressed by gzip": "unpack it first",
    "an archive of RAR": "unpack it first",
    "an archive of 7-Zip": "unpack it first",
}

Sets = dict[str, dict[str, Tensor | UnreadableTensor]]


def read_sets(path: Path, wanted: Callable[[set[str]], bool]) -> Sets:
    """All sets of tensors in a file, by their position in it (``""`` is the file itself, ``"state_dict"`` an entry).

    Args:
        path: of the file; its content decides on the format, not its name.
        wanted: whether to load a set, by the names of its tensors.

    Raises:
        WeightsError: the file is no readable tensor file.
    """
    with _told(path):
        if _is_safetensors(path):
            tensors, _ = _safetensors(path)
            return {"": dict(tensors)} if wanted(set(tensors)) else {}
        with opened(path) as file:
            sets = {place: names for place, names in _sets(file).items() if wanted(set(names))}
            return {
                place: {name: _loaded(file, tensor) for name, tensor in names.items()} for place, names in sets.items()
            }


def read_saved(path: Path) -> Any:
    """Tensors, numbers, text, lists and dictionaries of ``torch.save``; other objects are empty placeholders.

    Raises:
        WeightsError: the file cannot be read as such.
    """
    with _told(path), opened(path) as file:
        return _Filled(file).of(file.content)


def read_safetensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """The tensors of a safetensors file, and its metadata.

    Raises:
        WeightsError: the file cannot be read as such.
    """
    with _told(path):
        return _safetensors(path)


def is_finite(tensor: Tensor) -> bool:
    """Whether no number is infinite or NaN."""
    if not tensor.numel() or not (tensor.is_floating_point() or tensor.is_complex()):
        return True
    if tensor.is_complex():
        return is_finite(torch.view_as_real(tensor))
    return all(math.isfinite(bound) for bound in tensor.detach().aminmax())


def check_finite(tensors: Mapping[str, Tensor], where: object, remedy: str) -> None:
    """Raises:
    WeightsError: a tensor has a number that is infinite or NaN.
    """
    for name, tensor in tensors.items():
        if not is_finite(tensor):
            bad = int((~torch.isfinite(tensor)).sum())
            value = f"{bad} of the {tensor.numel()} numbers of {name} are infinite or no number"
            raise WeightsError(f"the numbers of {where} are finite", value, remedy)


@contextmanager
def _told(path: Path) -> Iterator[None]:
    """Convert any exception on a file to an error that names it."""
    try:
        if path.exists() and not path.is_file():
            raise OSError("a folder, pipe or device")
        yield
    except WeightsError:
        raise
    except Exception as error:  # readers may raise anything on a damaged file, down to struct.error
        reason = _beginning(path) or f"{error}"[:200] or type(error).__name__
        remedy = FETCH.get(reason, "copy or download it again, or save the state dict alone as safetensors")
        raise WeightsError(f"{path} must be a readable file of weights", reason, remedy) from error


def _beginning(path: Path) -> str | None:
    if not path.is_file():
        return None
    try:
        with path.open("rb") as file:
            start = file.read(64)
    except OSError:
        return None
    return next((what for begin, what in KNOWN.items() if start.startswith(begin) and (begin or not start)), None)


def _is_safetensors(path: Path) -> bool:
    """By content; a file with the suffix must be one."""
    with path.open("rb") as file:
        start = file.read(9)
    return path.suffix == ".safetensors" or start[8:] == b"{"


def _safetensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
    if length > HEADER:
        raise ValueError(f"a header of {length} bytes")
    with safe_open(path, "pt") as file:
        return {name: file.get_tensor(name) for name in file.keys()}, dict(file.metadata() or {})  # noqa: SIM118  # not a mapping


def _loaded(file: TensorFile, stored: StoredTensor | UnreadableTensor) -> Tensor | UnreadableTensor:
    return file.load(stored) if type(stored) is StoredTensor else stored  # type: ignore[return-value]  # the other kind


def _sets(file: TensorFile) -> dict[str, dict[str, StoredTensor | UnreadableTensor]]:
    walk = _Walk(file)
    walk.visit(file.content, "", 0)
    return walk.sets


class _Walk:
    """Traverse dictionaries and modules, each once."""

    def __init__(self, file: TensorFile) -> None:
        self.file = file
        self.sets: dict[str, dict[str, StoredTensor | UnreadableTensor]] = {}
        self.seen: set[int] = set()
        self.nodes = 0

    def visit(self, value: object, place: str, depth: int) -> None:
        if depth > DEPTH or id(value) in self.seen:
            return
        self.seen.add(id(value))
        if type(value) is Shell:
            self._keep(dict(self._of_module(value, "", 0)), place)
        elif type(value) is dict:
            self._keep({key: item for key, item in value.items() if type(key) is str and _is_tensor(item)}, place)
            for key, item in value.items():
                if type(key) is str and type(item) in (dict, Shell):
                    self.visit(item, f"{place}.{key}" if place else key, depth + 1)

    def _keep(self, tensors: dict[str, Any], place: str) -> None:
        if tensors:
            self.sets[place] = tensors

    def _of_module(
        self, module: Shell, prefix: str, depth: int
    ) -> Iterator[tuple[str, StoredTensor | UnreadableTensor]]:
        """The tensors of a pickled module, or of TorchScript, by their full names."""
        self.nodes += 1
        if depth > DEPTH or self.nodes > NODES:
            raise ValueError("a nest of modules")
        state = module.state if type(module.state) is dict else {}
        own = self.file.names_of(module.kind) if module.kind and self.file.is_module else None
        parts = [state.get(name) for name in ("_parameters", "_buffers", "_modules")]
        for entries in [state] if self.file.is_module else [part for part in parts if type(part) is dict]:
            for key, value in entries.items():
                if type(key) is str and _is_tensor(value) and (own is None or key in own):
                    yield prefix + key, value
                elif type(key) is str and type(value) is Shell:
                    yield from self._of_module(value, f"{prefix}{key}.", depth + 1)


def _is_tensor(value: object) -> bool:
    return type(value) in (StoredTensor, UnreadableTensor)


class _Filled:
    """The saved values with their tensors; shared objects stay shared."""

    def __init__(self, file: TensorFile) -> None:
        self.file = file
        self.made: dict[int, Any] = {}

    def of(self, value: Any, depth: int = 0) -> Any:
        if depth > DEPTH:
            raise ValueError("a nest of values")
        if type(value) is UnreadableTensor:
            raise ValueError(value.what)
        if type(value) not in (StoredTensor, dict, list, tuple):
            return value
        if id(value) not in self.made:
            self.made[id(value)] = self._made(value, depth + 1)
        return self.made[id(value)]

    def _made(self, value: Any, depth: int) -> Any:
        if type(value) is StoredTensor:
            return self.file.load(value)
        if type(value) is dict:
            return {key: self.of(item, depth) for key, item in value.items()}
        return type(value)([self.of(item, depth) for item in value])

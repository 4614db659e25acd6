"""What a pickle holds when it is read as data: names, shells of objects, storages, and tensors in them.

A call in a pickle is answered here by data alone, whatever it names.
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from typing import Any

import torch

NAME, DIMENSIONS = 300, 16
SMALL = 2**20
"""Maximum size of a tensor that is larger than its storage, such as an expanded one."""
STORAGES = {
    "DoubleStorage": torch.float64,
    "FloatStorage": torch.float32,
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "LongStorage": torch.int64,
    "IntStorage": torch.int32,
    "ShortStorage": torch.int16,
    "CharStorage": torch.int8,
    "ByteStorage": torch.uint8,
    "BoolStorage": torch.bool,
    "UntypedStorage": torch.uint8,
    "ComplexFloatStorage": torch.complex64,
    "ComplexDoubleStorage": torch.complex128,
    "QInt8Storage": torch.int8,
    "QUInt8Storage": torch.uint8,
    "QInt32Storage": torch.int32,
}
"""PyTorch's storage class of each type."""
WIDE = {"uint16": torch.uint16, "uint32": torch.uint32, "uint64": torch.uint64}
"""Types that PyTorch saves as a storage of bytes and a name."""


@dataclass(frozen=True)
class Name:
    """A global name, which is never looked up or imported."""

    module: str
    name: str

    def __post_init__(self) -> None:
        if len(self.module) + len(self.name) > NAME:
            raise ValueError(f"a name of more than {NAME} letters")

    def __str__(self) -> str:
        return f"{self.module}.{self.name}"


@dataclass(eq=False)
class Shell:
    """A placeholder for an object: the name of its class, and its state."""

    kind: Name | None = None
    state: object = None


@dataclass(frozen=True)
class Storage:
    """A storage in the file: ``count`` numbers from number ``start`` of the data with this key."""

    key: str
    dtype: torch.dtype | None
    count: int
    start: int = 0
    place: str = "cpu"
    kind: str = ""


@dataclass(frozen=True)
class StoredTensor:
    """A tensor in the file; offset and strides count numbers, not bytes."""

    storage: Storage
    dtype: torch.dtype
    offset: int
    size: tuple[int, ...]
    stride: tuple[int, ...]


@dataclass(frozen=True)
class UnreadableTensor:
    """A tensor of an unsupported kind; an error only if it is used."""

    what: str


def result_of_call(kind: object, arguments: object) -> Any:
    """The result of a call, by data alone."""
    if type(kind) is not Name:
        return Shell()
    known = CALLS.get(str(kind))
    if known is None:
        return Shell(kind)
    if type(arguments) is not tuple:
        raise ValueError(f"no arguments for {kind}")
    return known(*arguments)


def outside(persistent_id: object) -> Any:
    """A storage outside of the pickle, or, in very old files, a class next to its source code."""
    match persistent_id:
        case ("storage", Name() as kind, str() | int() as key, str() as place, int() as count, *rest):
            start, count = _view(count, rest)
            if not 0 <= start < 2**48 or not 0 <= count < 2**48 or not _is_short(key):
                raise ValueError("an array of an impossible size")
            return Storage(str(key), STORAGES.get(kind.name), count, start, place, str(kind))
        case ("module", Name() as kind, *_):
            return kind
    raise ValueError("something outside of the pickle that is no array")


def _is_short(key: str | int) -> bool:
    return len(key) <= NAME if isinstance(key, str) else 0 <= key < 2**63


def _view(count: int, rest: list[Any]) -> tuple[int, int]:
    """Start and length; in the stream format a storage may be a view of another one."""
    match rest:
        case [] | [None]:
            return 0, count
        case [(_, int() as start, int() as length)]:
            return start, length
    raise ValueError("an array that is said in an unknown way")


def _tensor(
    storage: Any, offset: object, size: object, stride: object, *more: object
) -> StoredTensor | UnreadableTensor:
    # further arguments: requires_grad and hooks (ignored), and whether it is a conjugate or negative view
    altered = len(more) > 2 and bool(more[2])
    if type(storage) is not Storage:
        raise ValueError("a tensor without its array")
    if altered or storage.dtype is None:
        return UnreadableTensor(f"a tensor of {storage.kind}" if not altered else "the view of a complex tensor")
    return _strided(storage, storage.dtype, storage.count, offset, size, stride)


def _wide_tensor(
    storage: Any,
    offset: object,
    size: object,
    stride: object,
    gradient: object,
    hooks: object,
    dtype_name: Any,
    *more: object,
) -> StoredTensor | UnreadableTensor:
    if type(storage) is not Storage or type(dtype_name) is not Name:
        raise ValueError("a tensor without its array")
    dtype = WIDE.get(dtype_name.name)
    if dtype is None:
        return UnreadableTensor(f"a tensor of {dtype_name}")
    return _strided(storage, dtype, storage.count // dtype.itemsize, offset, size, stride)


def _strided(
    storage: Storage, dtype: torch.dtype, room: int, offset: object, size: object, stride: object
) -> StoredTensor | UnreadableTensor:
    if storage.place == "meta":
        return UnreadableTensor("a tensor without content")
    sizes, steps, (start,) = _numbers(size), _numbers(stride), _numbers((offset,))
    if len(sizes) != len(steps):
        raise ValueError("a tensor of impossible dimensions")
    last = start + sum((length - 1) * step for length, step in zip(sizes, steps, strict=True))
    if prod(sizes) and last >= room:
        raise ValueError("a tensor that reaches beyond its array")
    if prod(sizes) > max(room, SMALL):
        raise ValueError("a tensor that is greater than its array")
    return StoredTensor(storage, dtype, start, sizes, steps)


def _numbers(values: Any) -> tuple[int, ...]:
    if type(values) not in (tuple, list) or len(values) > DIMENSIONS:
        raise ValueError("a tensor of impossible dimensions")
    if any(type(number) is not int or not 0 <= number < 2**48 for number in values):
        raise ValueError("a size that is no number")
    return tuple(values)


def pairs_of(items: list[Any]) -> dict[Any, Any]:
    """A dictionary of keys and values that alternate."""
    return {_key(key): value for key, value in zip(items[::2], items[1::2], strict=True)}


def _key(key: object) -> object:
    """Refuse keys that are expensive to hash: nested tuples, and huge numbers, which collide."""
    simple = type(key) in (str, bytes, bool) or key is None or (type(key) is int and -(2**31) < key < 2**31)
    return key if simple else Shell()


def _unsupported(what: str) -> Callable[..., UnreadableTensor]:
    return lambda *arguments: UnreadableTensor(what)


def _first(value: object = None, *rest: object) -> object:
    return value


def _dictionary(pairs: Any = (), *rest: object) -> dict[Any, Any]:
    if type(pairs) is dict:
        return dict(pairs)
    if type(pairs) not in (list, tuple) or any(type(pair) not in (list, tuple) or len(pair) != 2 for pair in pairs):
        raise ValueError("a dictionary made of what is no pairs")
    return {_key(key): value for key, value in pairs}


def _subclass(function: object = None, kind: object = None, arguments: object = (), *state: object) -> Any:
    """A tensor of a subclass, or with attributes: the plain tensor."""
    return result_of_call(function, arguments)


CALLS: dict[str, Callable[..., Any]] = {
    "collections.OrderedDict": _dictionary,
    "collections.defaultdict": lambda *arguments: _dictionary(*arguments[1:]),
    "torch.Size": _first,
    "torch._utils._rebuild_tensor": _tensor,
    "torch._utils._rebuild_tensor_v2": _tensor,
    "torch._utils._rebuild_tensor_v3": _wide_tensor,
    "torch._utils._rebuild_parameter": _first,
    "torch._utils._rebuild_parameter_with_state": _first,
    "torch._utils._rebuild_device_tensor_from_cpu_tensor": _first,
    "torch._tensor._rebuild_from_type_v2": _subclass,
    "torch._utils._rebuild_qtensor": _unsupported("a quantised tensor"),
    "torch._utils._rebuild_sparse_tensor": _unsupported("a sparse tensor"),
    "torch._utils._rebuild_sparse_csr_tensor": _unsupported("a sparse tensor"),
    "torch._utils._rebuild_nested_tensor": _unsupported("a nested tensor"),
    "torch._utils._rebuild_meta_tensor_no_storage": _unsupported("a tensor without content"),
    "torch._utils._rebuild_wrapper_subclass": _unsupported("a tensor of another library's kind"),
    "torch._utils._rebuild_device_tensor_from_numpy": _unsupported("a tensor of another library's kind"),
    **{
        f"torch.jit._pickle.{name}": _first
        for name in ("build_intlist", "build_doublelist", "build_boollist", "build_tensorlist", "restore_type_tag")
    },
}
"""All supported calls, as functions of their arguments; any other makes a shell."""

"""A pickle read as data.

A pickle is a program for a small stack machine that can look up and call any name. Here its instructions, decoded by
the standard library's ``pickletools``, only move data: a name stays a :class:`Name`, and an object becomes an empty
:class:`Shell`. Tensors in the formats of PyTorch become a description of their storage (:class:`StoredTensor`).

    {"state_dict": {"visual.proj": <tensor>}, "args": argparse.Namespace(lr=1)}
    -> {"state_dict": {"visual.proj": Stored(...)}, "args": Shell(Name("argparse", "Namespace"), {"lr": 1})}
"""

import pickletools
from collections.abc import Callable
from dataclasses import dataclass, field
from io import BytesIO
from math import prod
from typing import Any

import torch

MAX_STEPS = 1_000_000
"""Maximum number of instructions. A CLIP with the state of its optimiser has about 100,000."""
NAME, DIMENSIONS = 300, 16
SMALL = 2**20
"""Maximum size of a tensor that is larger than its storage, such as an expanded one."""
MARK = object()
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


@dataclass
class _PickleInterpreter:
    stack: list[Any] = field(default_factory=list)
    memo: dict[int, Any] = field(default_factory=dict)
    arrays: dict[str, torch.dtype | None] = field(default_factory=dict)
    arguments_seen: int = 0

    def count_arguments(self, items: tuple[Any, ...]) -> None:
        """Limit the total size of arguments: the same long list can be passed a million times."""
        self.arguments_seen += len(items) + sum(
            len(item) for item in items[:DIMENSIONS] if type(item) in (list, tuple, dict)
        )
        if self.arguments_seen > MAX_STEPS:
            raise ValueError(f"calls with more than {MAX_STEPS} values")

    def pop_to_mark(self) -> list[Any]:
        """Pop everything above the last mark, and the mark."""
        place = len(self.stack) - 1
        while self.stack[place] is not MARK:
            place -= 1
            if place < 0:
                raise ValueError("nothing was marked")
        items = self.stack[place + 1 :]
        del self.stack[place:]
        return items

    def top(self) -> Any:
        if not self.stack or self.stack[-1] is MARK:
            raise ValueError("an instruction that finds nothing to act upon")
        return self.stack[-1]

    def pop(self) -> Any:
        value = self.top()
        self.stack.pop()
        return value


def read_pickle(stream: BytesIO, arrays: dict[str, torch.dtype | None] | None = None) -> Any:
    """The data of the next pickle in the stream, which is then positioned after it.

    Args:
        stream: positioned at the pickle.
        arrays: receives the keys and types of external storages.

    Raises:
        ValueError, LookupError, TypeError, ArithmeticError: it is damaged, or uses what no tensor file needs.
    """
    machine = _PickleInterpreter(arrays={} if arrays is None else arrays)
    for number, (opcode, argument, _) in enumerate(pickletools.genops(stream)):
        if number == MAX_STEPS:
            raise ValueError(f"a pickle of more than {MAX_STEPS} instructions")
        if opcode.name == "STOP":
            return machine.pop()
        if opcode.name in LITERALS:
            machine.stack.append(argument)
        elif opcode.name in OPCODES:
            OPCODES[opcode.name](machine, argument)
        else:
            raise ValueError(f"the instruction {opcode.name}")
    raise ValueError("a pickle without an end")


def _append(machine: _PickleInterpreter, items: list[Any]) -> None:
    target = machine.top()
    if type(target) is list:
        target.extend(items)
    elif type(target) is not Shell:
        raise ValueError("items for what is no list")


def _set(machine: _PickleInterpreter, items: list[Any]) -> None:
    target = machine.top()
    if type(target) is dict:
        target.update(_pairs(items))
    elif type(target) is not Shell:
        raise ValueError("entries for what is no dictionary")


def _pairs(items: list[Any]) -> dict[Any, Any]:
    return {_key(key): value for key, value in zip(items[::2], items[1::2], strict=True)}


def _key(key: object) -> object:
    """Refuse keys that are expensive to hash: nested tuples, and huge numbers, which collide."""
    simple = type(key) in (str, bytes, bool) or key is None or (type(key) is int and -(2**31) < key < 2**31)
    return key if simple else Shell()


def _build(machine: _PickleInterpreter, _: object) -> None:
    state, target = machine.pop(), machine.top()
    if type(target) is Shell:
        target.state = state


def _result(kind: object, arguments: object) -> Any:
    """Push the result of a call, by data alone."""
    if type(kind) is not Name:
        return Shell()
    known = CALLS.get(str(kind))
    if known is None:
        return Shell(kind)
    if type(arguments) is not tuple:
        raise ValueError(f"no arguments for {kind}")
    return known(*arguments)


def _reduce(machine: _PickleInterpreter, _: object) -> None:
    arguments, kind = machine.pop(), machine.pop()
    if type(arguments) is tuple:
        machine.count_arguments(arguments)
    machine.stack.append(_result(kind, arguments))


def _new_with_keywords(machine: _PickleInterpreter, _: object) -> None:
    machine.pop()
    _reduce(machine, None)


def _old_object(machine: _PickleInterpreter, _: object) -> None:
    machine.pop_to_mark()
    machine.stack.append(Shell())


def _global(machine: _PickleInterpreter, argument: str) -> None:
    module, _, name = argument.partition(" ")
    machine.stack.append(Name(module, name))


def _stack_global(machine: _PickleInterpreter, _: object) -> None:
    name, module = machine.pop(), machine.pop()
    if type(name) is not str or type(module) is not str:
        raise ValueError("a name that is no text")
    machine.stack.append(Name(module, name))


def _drop(machine: _PickleInterpreter, _: object) -> None:
    machine.stack.pop()


def _drop_marked(machine: _PickleInterpreter, _: object) -> None:
    machine.pop_to_mark()


def _take(count: int) -> Callable[[_PickleInterpreter, object], None]:
    def act(machine: _PickleInterpreter, _: object) -> None:
        items = [machine.pop() for _ in range(count)]
        machine.stack.append(tuple(reversed(items)))

    return act


def _memoize(machine: _PickleInterpreter, place: Any) -> None:
    machine.memo[len(machine.memo) if place is None else place] = machine.top()


def _storage(machine: _PickleInterpreter, _: object) -> None:
    persistent_id = _persistent(machine.pop())
    if type(persistent_id) is Storage:
        machine.arrays.setdefault(persistent_id.key, persistent_id.dtype)
    machine.stack.append(persistent_id)


def _persistent(persistent_id: object) -> Any:
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
    return _result(function, arguments)


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

LITERALS = {
    *("INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT", "STRING", "BINSTRING"),
    *("SHORT_BINSTRING", "UNICODE", "SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8"),
    *("BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8"),
}
"""Instructions that push a value."""


def _push(make: Callable[[Any], object]) -> Callable[[_PickleInterpreter, Any], None]:
    return lambda machine, argument: machine.stack.append(make(argument))


def _join(make: Callable[[list[Any]], object]) -> Callable[[_PickleInterpreter, Any], None]:
    return lambda machine, _: machine.stack.append(make(machine.pop_to_mark()))


OPCODES: dict[str, Callable[[_PickleInterpreter, Any], None]] = {
    "PROTO": lambda machine, _: None,
    "FRAME": lambda machine, _: None,
    "MARK": _push(lambda _: MARK),
    "POP": _drop,
    "POP_MARK": _drop_marked,
    "DUP": lambda machine, _: machine.stack.append(machine.top()),
    "NONE": _push(lambda _: None),
    "NEWTRUE": _push(lambda _: True),
    "NEWFALSE": _push(lambda _: False),
    "EMPTY_LIST": _push(lambda _: []),
    "EMPTY_SET": _push(lambda _: []),
    "EMPTY_TUPLE": _push(lambda _: ()),
    "EMPTY_DICT": _push(lambda _: {}),
    "LIST": _join(list),
    "FROZENSET": _join(list),
    "TUPLE": _join(tuple),
    "TUPLE1": _take(1),
    "TUPLE2": _take(2),
    "TUPLE3": _take(3),
    "DICT": _join(_pairs),
    "APPEND": lambda machine, _: _append(machine, [machine.pop()]),
    "APPENDS": lambda machine, _: _append(machine, machine.pop_to_mark()),
    "ADDITEMS": lambda machine, _: _append(machine, machine.pop_to_mark()),
    "SETITEM": lambda machine, _: _set(machine, [machine.pop(), machine.pop()][::-1]),
    "SETITEMS": lambda machine, _: _set(machine, machine.pop_to_mark()),
    "PUT": _memoize,
    "BINPUT": _memoize,
    "LONG_BINPUT": _memoize,
    "MEMOIZE": _memoize,
    "GET": lambda machine, place: machine.stack.append(machine.memo[place]),
    "BINGET": lambda machine, place: machine.stack.append(machine.memo[place]),
    "LONG_BINGET": lambda machine, place: machine.stack.append(machine.memo[place]),
    "GLOBAL": _global,
    "STACK_GLOBAL": _stack_global,
    "INST": _old_object,
    "OBJ": _old_object,
    "NEWOBJ": _reduce,
    "NEWOBJ_EX": _new_with_keywords,
    "REDUCE": _reduce,
    "BUILD": _build,
    "BINPERSID": _storage,
}
"""Instructions that move or combine values."""

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
from typing import Any

import torch

from zsad.tensors.pickled import DIMENSIONS, Name, Shell, Storage, outside, pairs_of, result_of_call

MAX_STEPS = 1_000_000
"""Maximum number of instructions. A CLIP with the state of its optimiser has about 100,000."""
MARK = object()


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
        target.update(pairs_of(items))
    elif type(target) is not Shell:
        raise ValueError("entries for what is no dictionary")


def _build(machine: _PickleInterpreter, _: object) -> None:
    state, target = machine.pop(), machine.top()
    if type(target) is Shell:
        target.state = state


def _reduce(machine: _PickleInterpreter, _: object) -> None:
    arguments, kind = machine.pop(), machine.pop()
    if type(arguments) is tuple:
        machine.count_arguments(arguments)
    machine.stack.append(result_of_call(kind, arguments))


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
    persistent_id = outside(machine.pop())
    if type(persistent_id) is Storage:
        machine.arrays.setdefault(persistent_id.key, persistent_id.dtype)
    machine.stack.append(persistent_id)


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
    "DICT": _join(pairs_of),
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

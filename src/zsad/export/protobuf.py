"""The part of the ONNX format that is checked before a runtime sees a file: its card, and where its tensors lie.

ONNX is a message of Protocol Buffers: fields of (number, kind, value), where values are numbers or bytes that may be
messages themselves (https://protobuf.dev/programming-guides/encoding). Field numbers are those of ``onnx.proto3``.
"""

from collections.abc import Iterator, Mapping

from zsad.errors import InputError

VARINT, FIXED_64, BYTES, FIXED_32 = 0, 1, 2, 5
DEEPEST = 64
"""Nesting of messages; a graph within a graph within a tensor takes six."""
METADATA, METADATA_KEY, METADATA_VALUE = 14, 1, 2
EXTERNAL_DATA, DATA_LOCATION = 13, 14
WITHIN: Mapping[str, Mapping[int, str]] = {
    "model": {7: "graph", 20: "training", 25: "function"},
    "training": {1: "graph", 2: "graph"},
    "function": {7: "node", 11: "attribute"},
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse"},
    "sparse": {1: "tensor", 2: "tensor"},
    "tensor": {},
}
"""The messages in which tensors can be, by the number of their field."""


def metadata(content: bytes, source: str) -> dict[str, bytes]:
    """The metadata of an ONNX file, after a check that all its tensors are in the file itself.

    Args:
        content: of the file.
        source: its name, for errors.

    Raises:
        InputError: it is damaged, or has a tensor whose numbers lie in another file, which a runtime would read
            wherever it is.
    """
    try:
        _check_tensors(memoryview(content), "model", source, 0)
        found = {}
        for number, value in _fields(memoryview(content)):
            if number == METADATA and isinstance(value, memoryview):
                pair = dict(_fields(value))
                key, entry = pair.get(METADATA_KEY), pair.get(METADATA_VALUE)
                if isinstance(key, memoryview) and isinstance(entry, memoryview):
                    found[bytes(key).decode("utf-8", "replace")] = bytes(entry)
    except (IndexError, ValueError) as error:
        raise damaged(source, error) from error
    return found


def entry(key: str, value: str) -> bytes:
    """Metadata of an ONNX file: appended to a message, a field of it becomes a part of it."""
    pair = _field(METADATA_KEY, key.encode()) + _field(METADATA_VALUE, value.encode())
    return _field(METADATA, pair)


def _field(number: int, value: bytes) -> bytes:
    return _written(number << 3 | BYTES) + _written(len(value)) + value


def _written(number: int) -> bytes:
    digits = bytearray()
    while number > 127:
        digits.append(number & 127 | 128)
        number >>= 7
    return bytes([*digits, number])


def damaged(source: str, reason: object) -> InputError:
    """The error for a file that cannot be read as ONNX."""
    return InputError("an exported detector is a readable file", f"{source}: {reason}", "copy or export it again")


def _check_tensors(message: memoryview, kind: str, source: str, depth: int) -> None:
    if depth > DEEPEST:
        raise ValueError("nested too deeply")
    for number, value in _fields(message):
        if kind == "tensor" and (number == EXTERNAL_DATA or (number == DATA_LOCATION and value != 0)):
            rule = "an exported detector has all of its numbers in its own file"
            raise InputError(rule, f"{source}, which names another file", "export the detector again, with zsad")
        if number in WITHIN[kind] and isinstance(value, memoryview):
            _check_tensors(value, WITHIN[kind][number], source, depth + 1)


def _fields(message: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """Number and value of each field: an integer, or bytes."""
    at = 0
    while at < len(message):
        tag, at = _varint(message, at)
        kind = tag & 7
        if kind == VARINT:
            value, at = _varint(message, at)
            yield tag >> 3, value
            continue
        if kind not in (FIXED_64, BYTES, FIXED_32):
            raise ValueError("no message of Protocol Buffers")
        length, at = _varint(message, at) if kind == BYTES else (8 if kind == FIXED_64 else 4, at)
        if at + length > len(message):
            raise ValueError("it is cut off")
        yield tag >> 3, message[at : at + length]
        at += length


def _varint(message: memoryview, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = message[at]
        value, at, shift = value | (byte & 127) << shift, at + 1, shift + 7
        if byte < 128:
            return value, at
        if shift > 63:
            raise ValueError("a number of more than 64 bit")

"""What RFC 8259 and TOML 1.0 leave open or allow without bound ends in an error that says where."""

import os
from pathlib import Path

import pytest

from zsad.documents import (
    DocumentError,
    read_bytes,
    read_json,
    read_json_lines,
    read_json_object,
    read_text,
    read_toml,
)

GREATEST = 9223372036854775807  # 2^63 - 1


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('{"a": [1, 2.5, null, true, "x"]}', {"a": [1, 2.5, None, True, "x"]}),
        ("\ufeff{}", {}),
        (b"\xef\xbb\xbf[1]", [1]),
        ("[" * 64 + "]" * 64, None),
        (str(GREATEST), GREATEST),
        ("-9223372036854775808", -GREATEST - 1),
        (r'"\ud83d\ude00"', "\U0001f600"),  # RFC 8259, section 7: a pair of surrogates is one character
        (r'"\\u0000"', r"\u0000"),
        ('{"a": "[[]]{"}', {"a": "[[]]{"}),
        ('"\u2028"', "\u2028"),
    ],
)
def test_json_is_read(text: str | bytes, value: object) -> None:
    read = read_json(text)
    assert value is None or read == value


@pytest.mark.parametrize(
    ("text", "line", "column", "said"),
    [
        ("", None, None, "nothing"),
        (" \n ", None, None, "nothing"),
        ("{", 1, 2, "Expecting property name"),
        ('{"a": 1,\n "b"}', 2, 5, "Expecting ':'"),
        ("[1] [2]", 1, 5, "Extra data"),
        ('"a\0b"', 1, 3, "control character"),
        ("[" * 100_000, 1, 65, "64 levels"),
        ("[" * 65 + "]" * 65, 1, 65, "64 levels"),
        ('["]]]",' * 65 + "1" + "]" * 65, 1, 64 * 7 + 1, "64 levels"),
        ('{"a":' * 65 + "1" + "}" * 65, 1, 64 * 5 + 1, "64 levels"),
        ('["1e400",\n 1e400]', 2, 2, "not finite"),
        ("-1e400", 1, 1, "not finite"),
        ("[1, NaN]", 1, 5, "not finite"),
        ("[1, -Infinity]", 1, 5, "not finite"),
        (f"[1, {GREATEST + 1}]", 1, 5, "64 bit"),
        ("-9223372036854775809", 1, 1, "64 bit"),
        ('{"a": ' + "1" * 5000 + "}", 1, 7, "64 bit"),
        (r'"\u0000"', None, None, "U+0000"),
        (r'{"\u0000": 1}', None, None, "U+0000"),
        (r'[["\ud800"]]', None, None, "surrogate"),
        (r'"\udcff"', None, None, "surrogate"),
        ('{"a": 1, "b": 2, "a": 3}', None, None, "the key 'a' twice"),
        (b'{"a":\n "\xff"}', 2, 3, "0xff"),
        ("{}".encode("utf-16"), 1, 1, "UTF-16"),
        ("[" + "0," * 5_000_001 + "0]", None, None, "5,000,000 values"),
    ],
)
def test_json_is_refused_with_its_place(text: str | bytes, line: int | None, column: int | None, said: str) -> None:
    with pytest.raises(DocumentError) as caught:
        read_json(text)
    assert said in str(caught.value)
    assert (caught.value.line, caught.value.column) == (line, column)
    assert caught.value.rule
    assert caught.value.remedy
    assert isinstance(caught.value, ValueError)


def test_bytes_of_file_names_are_taken_where_they_are_meant() -> None:
    assert read_json(r'"\udcff"', file_names=True) == os.fsdecode(b"\xff")
    with pytest.raises(DocumentError, match="surrogate"):
        read_json(r'"\ud801"', file_names=True)
    with pytest.raises(DocumentError, match=r"U\+0000"):
        read_json(r'"\u0000"', file_names=True)


def test_an_object_is_asked_for() -> None:
    assert read_json_object('{"a": 1}') == {"a": 1}
    with pytest.raises(DocumentError, match="an array instead of an object"):
        read_json_object("[]")


def test_lines_keep_their_numbers() -> None:
    assert list(read_json_lines("\ufeff1\r\n\r\n \n[2]\n")) == [(1, 1), (4, [2])]
    assert list(read_json_lines('"\u2028"\n"\x85"')) == [(1, "\u2028"), (2, "\x85")]  # these end no line in JSON Lines
    assert list(read_json_lines("")) == []


@pytest.mark.parametrize(
    ("text", "line", "column"),
    [
        ("1\n\n{\n", 3, 2),
        ("1\n" + "[" * 5000, 2, 65),
        ("\n1e999", 2, 1),
        ('{}\n{"a": 1, "a": 1}', 2, None),
        (b"1\n2\nab\xff", 3, 3),
    ],
)
def test_a_line_is_refused_with_its_number(text: str | bytes, line: int, column: int | None) -> None:
    with pytest.raises(DocumentError, match=f"^line {line}") as caught:
        list(read_json_lines(text))
    assert (caught.value.line, caught.value.column) == (line, column)


def test_toml_is_read() -> None:
    assert read_toml(b'\xef\xbb\xbftitle = "x"\r\n[a.b]\r\nc = [1, 2.5]\r\n') == {
        "title": "x",
        "a": {"b": {"c": [1, 2.5]}},
    }
    assert read_toml("") == {}
    sentence = "a." * 200  # no key, although it looks like one
    assert read_toml(f'about = "{sentence}"') == {"about": sentence}


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        ("a = ]", 1, "Invalid value"),
        ("a = 1\nb", None, "Expected '='"),
        ("a = 1\na = 2", None, "overwrite"),
        ("a = 1e400", None, "not finite"),
        ("a = nan", None, "not finite"),
        ("a = [[inf]]", None, "not finite"),
        (f"a = {GREATEST + 1}", None, "64 bit"),
        ("a = " + "1" * 5000, None, "64 bit"),
        ("a = 0x" + "f" * 5000, None, "64 bit"),
        ("a = " + "[" * 5000, None, "64 levels"),
        ("a = " + "[" * 65 + "]" * 65, None, "64 levels"),
        ("x = 1\n" + "a." * 100_000 + "b = 1", 2, "64 levels"),
        ("[" + "'a' . " * 100_000 + "b]", 1, "64 levels"),
        ("x = {y = 1, " + '"a".' * 100_000 + "b = 1}", 1, "64 levels"),
        (r'a = "\u0000"', None, "U+0000"),
        (r'"\u0000" = 1', None, "U+0000"),
        (b"a = 1\nb = '\xe9'", 2, "0xe9"),
    ],
)
def test_toml_is_refused(text: str | bytes, line: int | None, said: str) -> None:
    with pytest.raises(DocumentError) as caught:
        read_toml(text)
    assert said in str(caught.value)
    assert caught.value.line == line


def test_a_file_has_no_more_bytes_than_its_limit(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"12345")
    assert read_bytes(file, 5) == read_bytes(b"12345", 5) == b"12345"
    assert read_text(file, 5) == "12345"
    for source in (file, b"12345", "12345"):
        with pytest.raises(DocumentError, match="more than 4 bytes"):
            read_bytes(source, 4)
    with file.open("wb") as sparse:
        sparse.truncate(2**40)  # a terabyte that takes no room
    with pytest.raises(DocumentError, match="bytes"):
        read_json(file)


def test_only_a_regular_file_is_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", Path("/dev/zero")):
        with pytest.raises(DocumentError, match="a pipe, socket or device"):
            read_bytes(path)
    with pytest.raises(DocumentError, match="a folder"):
        read_bytes(tmp_path)


def test_a_pipe_that_takes_the_place_of_a_file_is_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "file").write_text("{}")
    before = (tmp_path / "file").stat()
    monkeypatch.setattr(Path, "stat", lambda *_, **__: before)
    with pytest.raises(DocumentError, match="a pipe, socket or device"):
        read_bytes(tmp_path / "pipe")


def test_what_the_system_says_passes_through(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        read_json(tmp_path / "none")
    with pytest.raises(OSError, match="too long"):
        read_json(tmp_path / ("x" * 5000))
    with pytest.raises(DocumentError, match="x00"):
        read_json(tmp_path / "a\0b")

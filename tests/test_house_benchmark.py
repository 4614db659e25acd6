"""The benchmark that measures the shape of the code: on a package whose shape is known."""

import ast
from pathlib import Path

import pytest
from benchmarks import house

FILES = {
    "__init__.py": "",
    "first.py": '''"""One."""

from typing import TYPE_CHECKING

from zsad import second
from zsad.rooms.third import Same, total

if TYPE_CHECKING:
    from zsad import alone


class Same:
    def method(self):
        return second.summed([1, 2])


def main():
    import threading

    thread = threading.Thread(target=total, args=([1],))
    thread.start()
    thread.join()
    return (lambda: Same().method())()
''',
    "second.py": '''"""Two."""


def summed(values: list[int]) -> int:
    """The sum."""
    result, seen = 0, []
    for value in values:
        if value > 0:
            result += value
        seen.append(value)
    print(len(seen))
    return result


def never():
    from . import first

    return first
''',
    "rooms/__init__.py": "",
    "rooms/third.py": '''"""Three."""


class Same:
    x = [len(name) for name in ("a", "b")]


def total(numbers):
    everything, met = 0, []
    for number in numbers:
        if number > 0:
            everything += number
        met.append(number)
    print(len(met))
    return everything


def other(numbers):
    everything, met = 0, []
    for number in numbers:
        if number > 1:
            everything += number
        met.append(number)
    print(len(met))
    return everything
''',
    "alone.py": "def alone():\n    pass\n",
}


@pytest.fixture
def src(tmp_path: Path) -> Path:
    """A tree of a project whose command is ``zsad.first:main``."""
    for name, text in FILES.items():
        path = tmp_path / "src" / "zsad" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    (tmp_path / "pyproject.toml").write_text('[project.scripts]\nzsad = "zsad.first:main"\n', encoding="utf-8")
    return tmp_path / "src"


def test_repetitions_are_found_whatever_names_they_have(src: Path) -> None:
    found = house.modules(src)
    assert house.repeated_functions(found) == [["zsad.rooms.third.total", "zsad.second.summed"]]
    assert house.repeated_classes(found) == {"Same": ["zsad.first", "zsad.rooms.third"]}


def test_imports_are_those_of_running_code(src: Path) -> None:
    found = house.modules(src)
    at_top, everywhere = (house.imports(found, inside_functions=inside) for inside in (False, True))
    assert at_top["zsad.first"] == {"zsad.second", "zsad.rooms.third"}
    assert at_top["zsad.second"] == set()
    assert everywhere["zsad.second"] == {"zsad.first"}
    assert house.cycles(at_top) == []
    assert house.cycles(everywhere) == [["zsad.first", "zsad.second"]]
    assert house.single_importers(everywhere) == {
        "zsad.first": "zsad.second",
        "zsad.rooms.third": "zsad.first",
        "zsad.second": "zsad.first",
    }


def test_relative_imports_are_counted_from_their_package(src: Path) -> None:
    found = house.modules(src)
    (src / "zsad" / "rooms" / "fourth.py").write_text(
        "from . import third\nfrom .. import alone\nfrom ..first import x\n"
    )
    (src / "zsad" / "rooms" / "__init__.py").write_text("from .third import total\n")
    found = house.modules(src)
    graph = house.imports(found, inside_functions=True)
    assert graph["zsad.rooms.fourth"] == {"zsad.rooms.third", "zsad.alone", "zsad.first"}
    assert graph["zsad.rooms"] == {"zsad.rooms.third"}


def test_lengths_are_counted_in_lines_and_in_statements(src: Path) -> None:
    found = house.modules(src)
    table = dict(house.still(found))
    assert table["files"] == "6"
    assert table["lines of a function: median, greatest"] == "7, 9 (`second.summed`)"
    function = ast.parse("def f():\n    '''Says.'''\n    if 1:\n        a = 2\n    return a\n").body[0]
    assert isinstance(function, ast.FunctionDef)
    assert house.statements(function) == 3


def test_only_functions_that_run_count_in_all_threads(src: Path) -> None:
    ran = house.ran(src, ["--version"])
    assert {(path, name) for path, name, _ in ran} == {
        ("zsad/first.py", "main"),
        ("zsad/first.py", "Same.method"),
        ("zsad/second.py", "summed"),
        ("zsad/rooms/third.py", "total"),
    }
    assert house.by_module(ran) == {"zsad/first.py": 2, "zsad/second.py": 1, "zsad/rooms/third.py": 1}


def test_a_command_that_fails_is_no_number(src: Path) -> None:
    (src / "zsad" / "second.py").write_text("def summed(values):\n    raise SystemExit(3)\n")
    with pytest.raises(RuntimeError, match="ended with 3"):
        house.ran(src, ["predict"])

"""The shape of the code: sizes, repetitions and imports as they stand, and how much of it three commands run.

    python -m benchmarks.house [--src DIR] [--list]

``DIR`` holds the package ``zsad`` and stands beside its ``pyproject.toml``, so that versions are measured alike. The
commands run on the images of ``tests/saved``, with empty caches, under ``sys.setprofile`` in all threads. A module
counts for a command where a named function or method of it was run: neither its top level, nor class bodies, lambdas
and comprehensions, nor what ``dataclasses`` writes. Every command begins by building the whole command line; what that
alone runs (``zsad --version``) is taken out in the last columns.
"""

import argparse
import ast
import json
import os
import subprocess
import sys
import tempfile
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from statistics import median

from benchmarks.command import HERE, entry_point

PACKAGE = "zsad"
LEAST_STATEMENTS = 6
"""Of a function that is looked for a second time."""
IMAGES = HERE / "tests" / "saved" / "images"
START = "the start alone"
COMMANDS = {
    START: ("--version",),
    "predict": ("predict", f"{IMAGES}/judged/part/test/good/000005.png", "--out", "out"),
    "train fe-clip": ("train", "fe-clip", "--data", f"mvtec:{IMAGES}/learned", "--epochs", "1", "--out", "out"),
    "evaluate": ("evaluate", "clip-ac", "--data", f"mvtec:{IMAGES}/judged", "--classes", "surface", "--out", "out"),
}
"""What is run, by its name in the table."""
PROFILED = """
import importlib, json, sys, threading

src, report, module, function = sys.argv[1:5]
sys.argv[:5] = ["zsad"]
codes = {}

def profile(frame, event, _):
    if event == "call":
        codes[id(frame.f_code)] = frame.f_code

threading.setprofile(profile)
sys.setprofile(profile)
try:
    getattr(importlib.import_module(module), function)()
finally:
    sys.setprofile(None)
    threading.setprofile(None)
    optimised = 1  # of functions; modules and bodies of classes are not
    found = [
        (code.co_filename, code.co_qualname, code.co_firstlineno)
        for code in codes.values()
        if code.co_flags & optimised
        and code.co_filename.startswith(src)
        and code.co_filename.endswith(".py")  # templates are compiled to Python, too
        and not code.co_name.startswith("<")
    ]
    with open(report, "w") as file:
        json.dump(sorted(set(found)), file)
"""
Function = ast.FunctionDef | ast.AsyncFunctionDef
Ran = set[tuple[str, str, int]]
"""Path of the module below the folder of the package, qualified name and line of each function that was run."""
Graph = dict[str, set[str]]


@dataclass(frozen=True)
class Module:
    """A file of the package."""

    name: str
    path: Path
    text: str

    @property
    def lines(self) -> int:
        """How many it has."""
        return len(self.text.splitlines())

    @cached_property
    def tree(self) -> ast.Module:
        """Its syntax."""
        return ast.parse(self.text)

    @property
    def functions(self) -> list[Function]:
        """All, whether nested or of classes."""
        return [node for node in ast.walk(self.tree) if isinstance(node, Function)]

    @property
    def classes(self) -> list[str]:
        """Names of all, whether nested or not."""
        return [node.name for node in ast.walk(self.tree) if isinstance(node, ast.ClassDef)]


def modules(src: Path) -> dict[str, Module]:
    """All files of the package by the names of their modules."""
    found = {}
    for path in sorted((src / PACKAGE).rglob("*.py")):
        parts = path.relative_to(src).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        found[name] = Module(name, path, path.read_text(encoding="utf-8"))
    return found


def length(function: Function) -> int:
    """Lines from ``def`` to the end, docstring included."""
    return (function.end_lineno or function.lineno) - function.lineno + 1


class _Normalised(ast.NodeTransformer):
    """Names of arguments and of what is assigned become numbers, in the order in which they are met."""

    def __init__(self, own: Iterable[str]) -> None:
        self.numbers: dict[str, str] = dict.fromkeys(own, "")

    def _number(self, name: str) -> str:
        if name not in self.numbers:
            return name
        self.numbers[name] = self.numbers[name] or f"name {sum(map(bool, self.numbers.values()))}"
        return self.numbers[name]

    def visit_Name(self, node: ast.Name) -> ast.AST:
        node.id = self._number(node.id)
        return node

    def visit_arg(self, node: ast.arg) -> ast.AST:
        node.arg, node.annotation = self._number(node.arg), None
        return node

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        node.name, node.returns, node.decorator_list = "", None, []
        if ast.get_docstring(node) is not None:
            node.body = node.body[1:] or [ast.Pass()]
        return self.generic_visit(node)


def normalised(function: Function) -> str:
    """What a function does, whatever it and its variables are called and however it is annotated and described."""
    copy = deepcopy(function)
    stored = {node.id for node in ast.walk(copy) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
    arguments = {node.arg for node in ast.walk(copy) if isinstance(node, ast.arg)}
    return ast.dump(_Normalised(sorted(stored | arguments)).visit(copy))


def statements(function: Function) -> int:
    """How many it has, those of nested blocks included and its docstring left out."""
    return sum(isinstance(node, ast.stmt) for node in ast.walk(function)) - 1 - bool(ast.get_docstring(function))


def repeated_functions(found: Mapping[str, Module]) -> list[list[str]]:
    """Groups of functions that do the same in the same words but for names."""
    groups = defaultdict(list)
    for module in found.values():
        for function in module.functions:
            if statements(function) >= LEAST_STATEMENTS:
                groups[normalised(function)].append(f"{module.name}.{function.name}")
    return sorted(group for group in groups.values() if len(group) > 1)


def repeated_classes(found: Mapping[str, Module]) -> dict[str, list[str]]:
    """Modules of each class name that is used more than once."""
    homes = defaultdict(list)
    for module in found.values():
        for name in module.classes:
            homes[name].append(module.name)
    return {name: where for name, where in sorted(homes.items()) if len(where) > 1}


def imports(found: Mapping[str, Module], inside_functions: bool) -> Graph:
    """Which modules each imports when it runs: what is for type checkers alone is left out.

    A module that is imported runs its packages' ``__init__`` too; that is no edge here.
    """
    return {
        name: {
            target
            for node in _import_nodes(module.tree, inside_functions)
            for target in _targets(node, module, found)
            if target != name
        }
        for name, module in found.items()
    }


def _import_nodes(node: ast.AST, inside_functions: bool) -> Iterator[ast.Import | ast.ImportFrom]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import | ast.ImportFrom):
            yield child
        elif isinstance(child, ast.If) and "TYPE_CHECKING" in ast.dump(child.test):
            for other in child.orelse:
                yield from _import_nodes(other, inside_functions)
        elif inside_functions or not isinstance(child, Function):
            yield from _import_nodes(child, inside_functions)


def _targets(node: ast.Import | ast.ImportFrom, module: Module, found: Mapping[str, Module]) -> Iterator[str]:
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names if alias.name in found)
        return
    base = node.module or ""
    if node.level:
        package = module.name.split(".")[: None if module.path.name == "__init__.py" else -1]
        base = ".".join([*package[: len(package) - node.level + 1], *filter(None, [base])])
    for alias in node.names:
        whole = f"{base}.{alias.name}"
        if whole in found or base in found:
            yield whole if whole in found else base


def cycles(graph: Graph) -> list[list[str]]:
    """Groups of modules each of which leads to all others of its group."""
    reached = {name: _reached(graph, name) for name in graph}
    groups = {frozenset(other for other in reached[name] if name in reached[other]) for name in graph}
    return sorted(sorted(group) for group in groups if len(group) > 1)


def _reached(graph: Graph, start: str) -> set[str]:
    seen: set[str] = set()
    waiting = [start]
    while waiting:
        new = graph[waiting.pop()] - seen
        seen |= new
        waiting += new
    return seen


def single_importers(graph: Graph) -> dict[str, str]:
    """The only importer of each module that has one."""
    importers = defaultdict(list)
    for name, targets in graph.items():
        for target in targets:
            importers[target].append(name)
    return {name: only[0] for name, only in sorted(importers.items()) if len(only) == 1}


def ran(src: Path, words: Iterable[str]) -> Ran:
    """The functions that a command runs.

    Raises:
        RuntimeError: the command failed.
    """
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        command = [sys.executable, "-c", PROFILED, f"{src / PACKAGE}{os.sep}", str(report), *entry_point(src.parent)]
        caches = {"ZSAD_CACHE": f"{folder}/cache", "HF_HOME": f"{folder}/hub", "HF_HUB_OFFLINE": "1"}
        environment = os.environ | caches | {"PYTHONPATH": str(src), "CUDA_VISIBLE_DEVICES": ""}
        ended = subprocess.run(
            [*command, *words], cwd=folder, env=environment, capture_output=True, text=True, check=False
        )
        if ended.returncode or not report.exists():
            raise RuntimeError(f"zsad {' '.join(words)} ended with {ended.returncode}:\n{ended.stderr}")
        found = json.loads(report.read_text())
        return {(str(Path(file).relative_to(src)), name, line) for file, name, line in found}


def by_module(functions: Ran) -> Counter[str]:
    """How many functions of each module."""
    return Counter(path for path, _, _ in functions)


def still(found: Mapping[str, Module]) -> Iterator[tuple[str, str]]:
    """What is counted without running anything."""
    lengths = {f"{one.name}.{function.name}": length(function) for one in found.values() for function in one.functions}
    every = [length(function) for one in found.values() for function in one.functions]
    lines = {name: one.lines for name, one in found.items()}
    at_top, everywhere = (imports(found, inside_functions) for inside_functions in (False, True))
    yield "files", str(len(lines))
    yield "lines", str(sum(lines.values()))
    yield "lines of a file: median, greatest", _spread(lines, list(lines.values()))
    yield "functions", str(len(every))
    yield "lines of a function: median, greatest", _spread(lengths, every)
    yield f"groups of equal functions (from {LEAST_STATEMENTS} statements)", _counted(repeated_functions(found))
    yield "import cycles at the top of modules", _counted(cycles(at_top))
    yield "import cycles with imports inside functions", _counted(cycles(everywhere))
    yield "class names used more than once", str(len(repeated_classes(found)))
    yield "modules with a single importer", str(len(single_importers(everywhere)))


def _spread(by_name: Mapping[str, int], values: list[int]) -> str:
    longest = max(by_name, key=lambda name: by_name[name])
    return f"{median(values):g}, {by_name[longest]} (`{longest.removeprefix(f'{PACKAGE}.')}`)"


def _counted(groups: list[list[str]]) -> str:
    sizes = ", ".join(str(len(group)) for group in sorted(groups, key=len, reverse=True))
    return f"{len(groups)} (of {sizes})" if groups else "0"


def listed(found: Mapping[str, Module]) -> Iterator[str]:
    """Names behind the numbers, as Markdown."""
    everywhere = imports(found, inside_functions=True)
    yield "\n## Equal functions\n"
    yield from (f"* {', '.join(group)}" for group in repeated_functions(found))
    yield "\n## Import cycles, with imports inside functions\n"
    yield from (f"* {', '.join(group)}" for group in cycles(everywhere))
    yield "\n## Class names used more than once\n"
    yield from (f"* {name}: {', '.join(where)}" for name, where in repeated_classes(found).items())
    yield "\n## Modules with a single importer\n"
    yield from (f"* {name} ({found[name].lines} lines): {only}" for name, only in single_importers(everywhere).items())


def main() -> None:
    """Print the table, and on request what is behind it, as Markdown."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--src", type=Path, default=HERE / "src", metavar="DIR", help="default: this tree's")
    parser.add_argument("--list", action="store_true", help="name what is counted, too")
    options = parser.parse_args()
    src = options.src.resolve()
    found = modules(src)
    print("| what | of the package |\n|---|---|")
    for what, value in still(found):
        print(f"| {what} | {value} |")
    print("\n| command | modules that run | functions that run | modules besides the start | functions besides it |")
    print("|---|---|---|---|---|")
    runs: dict[str, Ran] = {}
    for name, words in COMMANDS.items():
        runs[name] = ran(src, words)
        both = [by_module(functions) for functions in (runs[name], runs[name] - runs[START])]
        cells = " | ".join(f"{len(counts)} | {counts.total()}" for counts in both)
        print(f"| {name} | {cells} |", flush=True)
    if options.list:
        print("\n".join(listed(found)))
        for name, functions in runs.items():
            print("\n".join(shortest(src, found, name, functions)))


def shortest(src: Path, found: Mapping[str, Module], name: str, functions: Ran) -> Iterator[str]:
    """The modules that a command runs something of, as Markdown."""
    lines = {str(one.path.relative_to(src)): one.lines for one in found.values()}
    counts = by_module(functions)
    yield f"\n## Modules in {name}, shortest first\n\n| module | lines | functions that run |\n|---|---|---|"
    yield from (f"| {path} | {lines[path]} | {counts[path]} |" for path in sorted(counts, key=lambda one: lines[one]))


if __name__ == "__main__":
    main()

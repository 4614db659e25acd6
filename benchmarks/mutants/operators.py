"""Faults that are made from the code itself, in the manner of mutation testing: each changes one place of one file.

What changes nothing that can be observed is not made: bounds of memory, clocks, the platform, the order of sentences
that are averaged, gradients of what is frozen.
"""

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True)
class Fault:
    """One changed place.

    Attributes:
        path: of the file, from the root of the repository.
        start, stop: the characters that are replaced.
        new: what stands there instead.
        kind: what is wrong then.
        also: other places that are changed together with this one.
    """

    path: str
    start: int
    stop: int
    new: str
    kind: str
    also: tuple["Fault", ...] = ()

    @property
    def paths(self) -> set[str]:
        """The files that it changes."""
        return {self.path, *(other.path for other in self.also)}

    def applied(self, path: str, text: str) -> str:
        """One of the files with the fault in it."""
        places = [one for one in (self, *self.also) if one.path == path]
        for one in sorted(places, key=lambda place: place.start, reverse=True):
            text = text[: one.start] + one.new + text[one.stop :]
        return text

    def described(self, text: str) -> str:
        """Place, and what became of what."""
        line = text.count("\n", 0, self.start) + 1
        old = " ".join(text[self.start : self.stop].split())
        return f"{self.path}:{line} {self.kind}: {old[:60]} -> {' '.join(self.new.split())[:60]}"


SIGNS: dict[type, str] = {ast.Add: "-", ast.Sub: "+", ast.Mult: "/", ast.Div: "*", ast.Pow: "*"}
WITHOUT_GRADIENT = {"images", "masks", "labels", "pixels", "image", "mask", "layers", "noise", "knowledge"}
"""Names of what comes from images, chance or frozen towers: to detach it changes nothing."""
TRAIN_NOTHING = {"clip.py", "clip_ac.py", "winclip.py", "patchcore.py", "_few_shot.py", "windows.py", "vv_attention.py"}
"""Files that no gradient goes through."""
AS_BY_DEFAULT = {"betas=(0.9, 0.999)"}
"""Arguments that say what holds without them."""
OF_THE_MACHINE = {None, "strict", "device", "dtype"}
"""Arguments that ask for checks, a place or a precision."""
BOUNDS_OF_MEMORY = {"MAX_TOKENS", "MAX_SIMILARITIES", "MAX_DISTANCES", "MAX_CANDIDATE_VALUES"}
ELSEWHERE = ("perf_counter", "monotonic", "sys.platform")
"""Clocks, and what is another thing on other machines only."""
ORDERED = 3
"""So many sentences have an order that matters; longer lists are averaged."""
ORDERS: dict[type, str] = {ast.Lt: ">=", ast.GtE: "<", ast.Gt: "<=", ast.LtE: ">", ast.Eq: "!=", ast.NotEq: "=="}


def of_python(path: str, text: str) -> list[Fault]:
    """All faults of a Python file; what only raises, annotates, logs or documents is left alone."""
    tree = ast.parse(text)
    place, trains = _Places(text), path.rpartition("/")[2] not in TRAIN_NOTHING
    made = [
        Fault(path, *place(node), new, kind)
        for node, names in _reachable(tree)
        for new, kind in _changes(node, names if trains else frozenset())
    ]
    return sorted(set(made), key=lambda fault: (fault.start, fault.new))


class _Places:
    """From lines and byte columns, as the parser gives them, to characters of the text."""

    def __init__(self, text: str) -> None:
        self._lines = text.split("\n")
        self._starts = [0]
        for line in self._lines:
            self._starts.append(self._starts[-1] + len(line) + 1)

    def __call__(self, node: ast.expr) -> tuple[int, int]:
        assert node.end_lineno is not None
        assert node.end_col_offset is not None
        return self._at(node.lineno, node.col_offset), self._at(node.end_lineno, node.end_col_offset)

    def _at(self, line: int, column: int) -> int:
        before = self._lines[line - 1].encode()[:column].decode()
        return self._starts[line - 1] + len(before)


def _reachable(tree: ast.AST, tensors: frozenset[str] = frozenset()) -> Iterator[tuple[ast.expr, frozenset[str]]]:
    """Expressions that compute something, each with the names of the tensors that its function is given."""
    for field, value in ast.iter_fields(tree):
        if field in ("annotation", "returns", "decorator_list") or isinstance(tree, ast.Raise | ast.Assert):
            continue
        for child in value if isinstance(value, list) else [value]:
            if not isinstance(child, ast.AST) or _is_words(child):
                continue
            names = _tensors_of(child) if isinstance(child, ast.FunctionDef) else tensors
            if isinstance(child, ast.expr):
                yield child, names
            yield from _reachable(child, names)


def _is_words(node: ast.AST) -> bool:
    """What computes nothing: docstrings, text for people, types, citations, and checks of lengths."""
    match node:
        case ast.Expr(ast.Constant()) | ast.JoinedStr() | ast.Import() | ast.ImportFrom():
            return True
        case ast.Subscript(ast.Name("Literal")) | ast.Call(ast.Name("Paper" | "TypeVar" | "cast")):
            return True
        case ast.keyword("strict" | "year"):
            return True
        case ast.Assign([ast.Name(name)]) if name in BOUNDS_OF_MEMORY:
            return True
        case ast.Compare(_, [ast.In() | ast.NotIn()], [ast.Tuple()]):
            return True
        case ast.BinOp() | ast.Compare() if any(word in ast.unparse(node) for word in ELSEWHERE):
            return True
    return False


def _tensors_of(function: ast.FunctionDef) -> frozenset[str]:
    given = (*function.args.args, *function.args.kwonlyargs)
    typed = (one.arg for one in given if one.annotation and "Float[Tensor," in ast.unparse(one.annotation))
    return frozenset(typed) - WITHOUT_GRADIENT


def _changes(node: ast.expr, tensors: frozenset[str]) -> Iterator[tuple[str, str]]:
    match node:
        case ast.BinOp(left, operator, right) if type(operator) in SIGNS and not _is_text(left):
            yield f"({_source(left)} {SIGNS[type(operator)]} {_source(right)})", "another sign"
            if isinstance(operator, ast.Add | ast.Sub | ast.Mult):
                yield f"({_source(left)})", "a missing term"
        case ast.UnaryOp(ast.USub(), operand) if not isinstance(operand, ast.Constant):
            yield f"({_source(operand)})", "another sign"
        case ast.UnaryOp(ast.Not(), operand):
            yield f"bool({_source(operand)})", "another order"
        case ast.Compare(left, [operator], [right]) if type(operator) in ORDERS:
            yield f"({_source(left)} {ORDERS[type(operator)]} {_source(right)})", "another order"
        case ast.Constant(bool(value)):
            yield repr(not value), "another constant"
        case ast.Constant(int(value)):
            yield repr(value + 1), "another constant"
        case ast.Constant(float(value)):
            yield repr(value * 2 if value else 0.5), "another constant"
        case ast.Name(name, ast.Load()) if name in tensors:
            yield f"{name}.detach()", "a detached gradient"
        case ast.Tuple([ast.Constant(str(first)), ast.Constant(str(second)), *rest], ast.Load()) if (
            first != second and 2 + len(rest) <= ORDERED
        ):
            start = _source(node)
            yield (
                start.replace(repr(first), "@", 1).replace(repr(second), repr(first), 1).replace("@", repr(second), 1),
                "swapped words",
            )
        case ast.Call(_, _, [*keywords]) if said := [one for one in keywords if _matters(one)]:
            shorter = ast.Call(node.func, node.args, [one for one in keywords if one is not said[-1]])
            yield ast.unparse(shorter), "a missing argument"
        case ast.IfExp(_, body, other):
            yield f"({_source(body)})", "a missing case"
            yield f"({_source(other)})", "a missing case"


def _matters(keyword: ast.keyword) -> bool:
    return keyword.arg not in OF_THE_MACHINE and ast.unparse(keyword) not in AS_BY_DEFAULT


def _source(node: ast.AST) -> str:
    return f"({ast.unparse(node)})" if isinstance(node, ast.BinOp | ast.IfExp | ast.Compare) else ast.unparse(node)


def _is_text(node: ast.AST) -> bool:
    return isinstance(node, ast.JoinedStr) or (isinstance(node, ast.Constant) and isinstance(node.value, str))


VALUE = re.compile(r"^(?P<key>[\w.\"-]+) = (?P<value>[^#\n]+?)\s*$", re.MULTILINE)
ASIDE = {"paper", "backbone", "weights", "title", "about", "image_auroc", "image_ap", "pixel_auroc", "pixel_ap"}


def of_recipe(path: str, text: str) -> list[Fault]:
    """All faults of a recipe: a value that is another one. What only describes, and the printed numbers, are left."""
    end = text.find("[published")
    found = [one for one in VALUE.finditer(text, 0, end if end >= 0 else len(text)) if one["key"] not in ASIDE]
    return [
        Fault(path, *one.span("value"), new, "another option") for one in found if (new := _other(one["value"])) != ""
    ]


def _other(value: str) -> str:
    if value in ("true", "false"):
        return "false" if value == "true" else "true"
    if re.fullmatch(r"-?\d+", value):
        return str(int(value) + 1)
    if re.fullmatch(r"-?[\d.]+(e-?\d+)?", value):
        return repr(float(value) * 2 or 0.5)
    if re.fullmatch(r"\[[\d, ]+\]", value):
        return "[" + ", ".join(value.strip("[]").split(", ")[:-1]) + "]"
    return ""

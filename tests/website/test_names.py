"""What the pages name exists: names of the package, files of the repository, modules to run."""

import re
from importlib import import_module
from pathlib import Path

import pytest
from website.links import ROOT, markdown_files

PAGES = [page for page in markdown_files(ROOT) if page.name != "CHANGELOG.md"]
CODE = re.compile(r"`([^`\n]+)`|^    (.+)$", re.MULTILINE)
NAME = re.compile(r"(?<![\w.])zsad(?:\.[A-Za-z_]\w*)+")
FILE = re.compile(r"(?<![\w./<~-])(?:src|docs|recipes|tests|scripts|benchmarks|website|parts|methods)/[\w./<>*-]*")
MODULE = re.compile(r"python -m ((?:benchmarks|website|zsad)[\w.]*)")


def resolves(name: str) -> bool:
    """Whether a dotted name is a module, or an attribute of one."""
    module, _, rest = name.rpartition(".")
    try:
        import_module(name)
    except ImportError:
        if not module:
            return False
    else:
        return True
    try:
        found = import_module(module)
    except ImportError:
        head, _, tail = module.rpartition(".")
        return resolves(module) and hasattr(getattr(import_module(head), tail), rest)
    return hasattr(found, rest)


def exists(path: str, page: Path = ROOT / "README.md") -> bool:
    """Whether there is a file like this beside the page or below a root; ``<x>`` is any name."""
    pattern = re.sub(r"\*+", "*", re.sub(r"<[^>]*>", "*", path.rstrip("/.")))
    return any(next(base.glob(pattern), None) for base in (page.parent, ROOT, ROOT / "src/zsad"))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_what_a_page_names_exists(page: Path) -> None:
    code = " \n".join(span or line for span, line in CODE.findall(page.read_text(encoding="utf-8")))
    assert [name for name in NAME.findall(code) if not resolves(name)] == []
    assert [path for path in FILE.findall(code) if not exists(path, page)] == []
    assert [name for name in MODULE.findall(code) if not resolves(name)] == []


@pytest.mark.parametrize(
    ("name", "there"),
    [
        ("zsad.load", True),
        ("zsad.metrics.pro", True),
        ("zsad.predictor.Detector.predict", True),
        ("zsad.gone", False),
        ("zsad.predictor.Detector.gone", False),
        ("zsad.gone.load", False),
    ],
)
def test_a_name_that_is_gone_is_noticed(name: str, there: bool) -> None:
    assert resolves(name) == there


@pytest.mark.parametrize(
    ("path", "there"), [("recipes/<method>/paper.toml", True), ("methods/", True), ("docs/gone.md", False)]
)
def test_a_file_that_is_gone_is_noticed(path: str, there: bool) -> None:
    assert exists(path) == there

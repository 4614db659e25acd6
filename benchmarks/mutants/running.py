"""The tests against a copy of the repository with one fault in it, in a process that has PyTorch in it already."""

import os
import shutil
import signal
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.mutants.operators import Fault

COPIED = ("src", "tests", "recipes", "benchmarks", "scripts", "docs", "pyproject.toml", "README.md", "constraints.txt")
LONGEST = 900.0
"""Seconds: a fault that makes the tests run for ever is noticed."""
TESTS: dict[str, tuple[str, ...]] = {
    "src/zsad/methods/": ("tests/methods/test_{name}*.py", "tests/methods", "tests/contract", "tests/trainer"),
    "src/zsad/parts/": ("tests/parts/test_{name}*.py", "tests/parts", "tests/methods", "tests/contract"),
    "src/zsad/trainer/": (
        "tests/trainer/test_plain_loop.py",
        "tests/trainer",
        "tests/cli/test_train.py",
        "tests/benchmark",
    ),
    "src/zsad/evaluator/": ("tests/evaluator", "tests/cli/test_evaluate.py", "tests/cli/test_compare.py"),
    "src/zsad/metrics/": ("tests/metrics", "tests/evaluator"),
    "src/zsad/scoring.py": ("tests/test_scoring.py", "tests/test_predictor.py", "tests/evaluator"),
    "src/zsad/predictor.py": ("tests/test_predictor.py", "tests/cli/test_cli.py"),
    "recipes/": ("tests/methods", "tests/benchmark"),
}
"""Which tests are about a file, the nearest first; the file's own name stands for ``{name}``."""


@dataclass(frozen=True)
class Verdict:
    """What the tests said: the first that failed, or nothing."""

    caught_by: str
    seconds: float


def copy_of(root: Path, work: Path) -> Path:
    """A copy of the repository to plant faults in."""
    for name in COPIED:
        if (root / name).is_dir():
            shutil.copytree(root / name, work / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(root / name, work / name)
    return work


def tests_about(fault: Fault, root: Path) -> list[str]:
    """Files and folders of tests, the nearest first, each once."""
    patterns = next(tests for start, tests in TESTS.items() if fault.path.startswith(start))
    name = Path(fault.path).stem.lstrip("_")
    found: dict[str, None] = {}
    for pattern in patterns:
        matches = sorted(root.glob(pattern.format(name=name)))
        found |= dict.fromkeys(str(one.relative_to(root)) for one in matches)
    return list(found)


class Planted:
    """A fault in a copy, and the tests that run there in a forked process."""

    def __init__(self, fault: Fault, copy: Path) -> None:
        self.fault, self._file = fault, copy / fault.path
        self._whole = self._file.read_text(encoding="utf-8")
        self._file.write_text(fault.applied(self._whole), encoding="utf-8")
        self._said, self._began = copy / ".said", time.monotonic()
        self._pid = os.fork()
        if self._pid == 0:
            _test(copy, tests_about(fault, copy), self._said)

    def poll(self) -> Verdict | None:
        """The verdict, once there is one; the copy is whole again then."""
        ended, status = os.waitpid(self._pid, os.WNOHANG)
        seconds = time.monotonic() - self._began
        if not ended:
            if seconds > LONGEST:
                os.kill(self._pid, signal.SIGKILL)
            return None
        self._file.write_text(self._whole, encoding="utf-8")
        said = self._said.read_text(encoding="utf-8", errors="replace") if self._said.exists() else ""
        failed = [line for line in said.splitlines() if line.startswith(("FAILED", "ERROR", "E  "))]
        if os.WIFSIGNALED(status):
            return Verdict("no end, or a crash", seconds)
        if os.WEXITSTATUS(status) == 0:
            return Verdict("", seconds)
        return Verdict((failed or [said.strip()[-200:]])[-1][:150], seconds)


def _test(copy: Path, tests: Sequence[str], said: Path) -> None:
    """The child: runs pytest in the copy, and never returns."""
    with said.open("w") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
        os.chdir(copy)
        sys.path[:] = [str(copy / "src"), str(copy), *(one for one in sys.path[1:] if "zsad" not in one)]
        os.environ |= {"PYTHONPATH": f"{copy / 'src'}", "PYTHONDONTWRITEBYTECODE": "1"}
        sys.dont_write_bytecode = True
        import pytest

        options = ["-x", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", "--no-header", "--tb=no", "-rf"]
        status = pytest.main([*options, f"--basetemp={copy / '.tests'}", *tests])
        file.flush()
        os._exit(int(status))

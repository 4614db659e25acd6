"""The tests against a copy of the repository with one fault in it, in a process that has its libraries already."""

import importlib
import os
import resource
import shutil
import signal
import sys
import time
import traceback
import warnings
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from benchmarks.mutants.operators import Fault

COPIED = ("src", "tests", "recipes", "benchmarks", "scripts", "docs", "pyproject.toml", "README.md", "constraints.txt")
LIBRARIES = ("pytest", "jaxtyping", "beartype", "scipy.ndimage", "transformers", "PIL.Image", "safetensors.torch")
"""Imported once, before the processes part: most of the time of a short run of tests is their import."""
PASSED = (0, 5)
"""What pytest ends with where nothing failed, or where there was nothing to run."""
LONGEST, LONGEST_WAIT = 600, 7200.0
"""Seconds of computing, and of waiting, after which tests that a fault keeps from ending have noticed it."""
TESTS: dict[str, tuple[str, ...]] = {
    "src/zsad/methods/_": ("tests/methods", "tests/contract", "tests/trainer"),
    "src/zsad/methods/": (
        "tests/methods/test_constants.py",
        "tests/methods/test_*{name}*.py",
        "tests/methods/test_starts.py",
        "tests/methods/test_gradient_routes.py",
        "tests/methods/test_recipe_rows.py",
        "tests/methods/test_few_shot.py",
        "tests/methods/test_vision_only.py",
        "tests/contract",
        "tests/trainer",
    ),
    "src/zsad/parts/": (
        "tests/parts/test_{name}*.py",
        "tests/test_scoring.py",
        "tests/parts",
        "tests/methods/test_starts.py",
        "tests/methods/test_gradient_routes.py",
        "tests/methods",
        "tests/contract",
    ),
    "src/zsad/references/": (
        "tests/references/test_{name}*.py",
        "tests/references",
        "tests/methods/test_musc.py",
        "tests/methods/test_auto.py",
        "tests/methods/test_patchcore.py",
        "tests/methods",
        "tests/contract",
    ),
    "src/zsad/trainer/": (
        "tests/trainer/test_{name}.py",
        "tests/trainer/test_plain_loop.py",
        "tests/trainer",
        "tests/cli/test_train.py",
        "tests/benchmark",
    ),
    "src/zsad/evaluator/": (
        "tests/evaluator/test_{name}*.py",
        "tests/evaluator",
        "tests/cli/test_evaluate.py",
        "tests/cli/test_compare.py",
    ),
    "src/zsad/calibration/": (
        "tests/calibration/test_{name}*.py",
        "tests/calibration",
        "tests/cli/test_calibrate.py",
        "tests/reports",
        "tests/service",
    ),
    "src/zsad/statistics/": ("tests/statistics/test_{name}*.py", "tests/statistics", "tests/evaluator"),
    "src/zsad/scoring.py": ("tests/test_scoring.py", "tests/test_predictor.py", "tests/evaluator"),
    "recipes/": ("tests/methods/test_recipe_rows.py", "tests/benchmark/test_recipe.py"),
}
"""Which tests are about a file, the nearest first; ``{name}`` stands for the file's package and its own name."""


@dataclass(frozen=True)
class Verdict:
    """What the tests said: the first line of what failed, or nothing, and the test's name, if it was one test."""

    caught_by: str
    seconds: float
    test: str = ""


def copy_of(root: Path, work: Path) -> Path:
    """A copy of the repository to plant faults in."""
    for name in COPIED:
        if (root / name).is_dir():
            shutil.copytree(root / name, work / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(root / name, work / name)
    return work


def preload() -> None:
    """Libraries of the tests, none of which is of this repository."""
    with warnings.catch_warnings(), suppress(ImportError):
        warnings.simplefilter("ignore")
        for name in LIBRARIES:
            importlib.import_module(name)


def tests_about(fault: Fault, root: Path) -> tuple[str, ...]:
    """Files and folders of tests, the nearest first, each once; the examples in the file's own docstrings are some."""
    patterns = next(tests for start, tests in TESTS.items() if fault.path.startswith(start))
    found: dict[str, None] = {fault.path: None} if fault.path.endswith(".py") else {}
    for pattern in patterns:
        for name in _names(Path(fault.path)):
            matches = sorted(root.glob(pattern.format(name=name)))
            found |= dict.fromkeys(str(one.relative_to(root)) for one in matches)
    return tuple(found)


def _names(path: Path) -> list[str]:
    """What tests of a file are called by: the package that it is in, and its own name."""
    package = [] if f"{path.parent}/" in TESTS else [path.parent.name]
    return package if path.stem in ("method", "__init__") and package else [*package, path.stem.lstrip("_")]


def failing(copy: Path, tests: Sequence[str]) -> list[str]:
    """The tests that fail without a fault, and so notice none."""
    running = Running(copy, [tests], ["-rfE"])
    while (ended := running.poll()) is None:
        time.sleep(1)
    assert not ended.signalled
    assert ended.status in (0, 1), "\n".join(ended.said)
    return [_named([line]) for line in ended.said if line.startswith(("FAILED", "ERROR"))]


@dataclass(frozen=True)
class Ended:
    """How a run of tests ended."""

    status: int
    signalled: bool
    said: list[str]
    seconds: float


class Running:
    """Tests in a copy, in a forked process, one stage after the other until one fails."""

    def __init__(self, copy: Path, stages: Sequence[Sequence[str]], options: Sequence[str]) -> None:
        self._said, self._began = copy / ".said", time.monotonic()
        self._pid = os.fork()
        if self._pid == 0:
            _test(copy, stages, options, self._said)

    def poll(self) -> Ended | None:
        """How it ended, once it has."""
        pid, status = os.waitpid(self._pid, os.WNOHANG)
        seconds = time.monotonic() - self._began
        if not pid:
            if seconds > LONGEST_WAIT:
                os.kill(self._pid, signal.SIGKILL)
            return None
        said = self._said.read_text(encoding="utf-8", errors="replace") if self._said.exists() else ""
        signalled = os.WIFSIGNALED(status)
        return Ended(-1 if signalled else os.WEXITSTATUS(status), signalled, said.splitlines(), seconds)


class Planted:
    """A fault in a copy, and the tests that run there; those named in ``without`` do not."""

    def __init__(self, fault: Fault, copy: Path, without: Sequence[str] = ()) -> None:
        self.fault, self._copy = fault, copy
        self._whole = {path: (copy / path).read_text(encoding="utf-8") for path in sorted(fault.paths)}
        for path, text in self._whole.items():
            _write(copy / path, fault.applied(path, text))
        tests, left_out = tests_about(fault, copy), [f"--deselect={name}" for name in without]
        stages = [(one, *(f"--ignore={done}" for done in tests[:number])) for number, one in enumerate(tests)]
        self._tests = Running(copy, stages, ["-x", "-rf", *left_out])

    def poll(self) -> Verdict | None:
        """The verdict, once there is one; the copy is whole again then."""
        ended = self._tests.poll()
        if ended is None:
            return None
        for path, text in self._whole.items():
            _write(self._copy / path, text)
        failed = [line for line in ended.said if line.startswith(("FAILED", "ERROR", "E  "))]
        if ended.signalled:
            return Verdict("no end, or a crash", ended.seconds)
        if ended.status == 0:
            return Verdict("", ended.seconds)
        return Verdict((failed or ended.said or ["?"])[-1][:150], ended.seconds, _named(failed[-1:]))


def _named(lines: Sequence[str]) -> str:
    """The test in a line of the summary."""
    return next((line.split(" ", 1)[1].split(" - ")[0] for line in lines if "::" in line), "")


def _write(file: Path, text: str) -> None:
    """The file, and nothing that was compiled of another one."""
    for compiled in (file.parent / "__pycache__").glob(f"{file.stem}.*"):
        compiled.unlink()
    file.write_text(text, encoding="utf-8")


def _test(copy: Path, stages: Sequence[Sequence[str]], options: Sequence[str], said: Path) -> NoReturn:
    """The child: runs pytest in the copy, and never returns."""
    status = -1
    resource.setrlimit(resource.RLIMIT_CPU, (LONGEST, LONGEST))
    try:
        with said.open("w") as file:
            os.dup2(file.fileno(), 1)
            os.dup2(file.fileno(), 2)
        os.chdir(copy)
        others = (one for one in sys.path[1:] if not (Path(one) / "zsad").is_dir())
        sys.path[:] = [str(copy / "src"), str(copy), *others]
        os.environ |= {"PYTHONPATH": str(copy / "src"), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
        import pytest

        always = ["-q", "-p", "no:cacheprovider", "--no-header", "--tb=no", f"--basetemp={copy / '.tests'}"]
        for tests in stages:
            status = int(pytest.main([*always, *options, *tests]))
            sys.stdout.flush()
            if status not in PASSED:
                break
            status = 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(status & 0xFF)

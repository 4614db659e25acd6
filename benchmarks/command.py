"""The command ``zsad`` of any tree of this project, whatever is installed."""

import os
import subprocess
import sys
import tomllib
from collections.abc import Sequence
from pathlib import Path

HERE = Path(__file__).resolve().parent.parent
START = "import sys; sys.argv[0] = 'zsad'; from {module} import {function}; {function}()"


def entry_point(project: Path = HERE) -> tuple[str, str]:
    """Module and function that the command is, as ``pyproject.toml`` says."""
    scripts = tomllib.loads((project / "pyproject.toml").read_text(encoding="utf-8"))["project"]["scripts"]
    module, function = scripts["zsad"].split(":")
    return module, function


def zsad(*words: str, cwd: str | os.PathLike[str], statuses: Sequence[int] = (0,)) -> str:
    """Run the command of this project in a process of its own; returns what it printed.

    Raises:
        RuntimeError: it ended with another exit status than those that are fine.
    """
    module, function = entry_point()
    command = [sys.executable, "-c", START.format(module=module, function=function), *words]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    ended = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=False)
    if ended.returncode not in statuses:
        raise RuntimeError(f"zsad {' '.join(words)} ended with {ended.returncode}:\n{ended.stdout}{ended.stderr}")
    return ended.stdout

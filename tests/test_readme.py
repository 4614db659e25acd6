"""The README does what it says."""

import re
import shlex
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from zsad.cli.main import parser
from zsad.data.synthetic import part

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_every_python_example_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    Image.fromarray(part(np.random.default_rng(0), (90, 120))[0]).save(tmp_path / "nut.jpg")
    monkeypatch.chdir(tmp_path)
    examples = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    assert examples
    for example in examples:
        exec(example, {})
    assert "(90, 120)" in capsys.readouterr().out


def test_every_command_is_one_that_exists() -> None:
    commands = re.findall(r"^    (zsad .+|scripts/\S+)", README, re.MULTILINE)
    assert len(commands) >= 4
    for command in commands:
        words = shlex.split(command, comments=True)
        if words[0] == "zsad":
            parser().parse_args(words[1:])
        else:
            assert (ROOT / words[0]).stat().st_mode & 0o100


def test_every_link_and_image_leads_somewhere() -> None:
    pages = [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]
    for page in pages:
        for target in re.findall(r"\]\(([^)#]+)\)", page.read_text(encoding="utf-8")):
            assert target.startswith("https://") or (page.parent / target).exists(), f"{page.name}: {target}"

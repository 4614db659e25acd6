"""docs/extending.md works as it is written."""

import importlib
import re
import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.data.trees import image, mask, mvtec_tree
from zsad import methods
from zsad.data import Layout, layouts
from zsad.methods import Method

PAGE = (Path(__file__).parents[2] / "docs/extending.md").read_text(encoding="utf-8")
BLOCK = re.compile(r"(?:^`(\w+)\.py`:\n\n)?^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)
BLOCKS = [(match[1], match[2]) for match in BLOCK.finditer(PAGE)]
MODULES = {name: code for name, code in BLOCKS if name}
SIZE = (40, 48)


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the page's modules and data, where nothing is registered yet."""
    for name, code in MODULES.items():
        (tmp_path / f"{name}.py").write_text(code, encoding="utf-8")
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    for registry in (methods._REGISTRY, layouts._REGISTRY):
        monkeypatch.setattr(registry, "_registered", {})
    mvtec_tree(tmp_path / "data/mvtec", ("nut",))
    mvtec_tree(tmp_path / "data/mtd", ("tile",), seed=500)
    for number in range(2):
        image(tmp_path / f"data/lids/ok/{number}.png", number, SIZE)
        image(tmp_path / f"data/lids/nok/{number}.png", 10 + number, SIZE)
        mask(tmp_path / f"data/lids/nok/{number}_mask.png", SIZE)
    Image.fromarray(np.zeros((*SIZE, 3), np.uint8)).save(tmp_path / "nut.jpg")
    return tmp_path


def test_every_example_runs_in_turn(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    steps = [code for name, code in BLOCKS if not name]
    assert len(steps) >= 5
    names: dict[str, object] = {}
    for code in steps:
        exec(code, names)
    test = names["test_my_methods"]
    assert callable(test)
    test()
    low, high = eval(capsys.readouterr().out.splitlines()[-1])
    assert 0 <= low <= high <= 1
    assert (place / "runs/linear/trained_state.safetensors").is_file()
    assert (place / "runs/lids/classes/jar-lids/lid/images.csv").is_file()


def test_entry_points_are_those_of_the_examples(place: Path) -> None:
    (block,) = re.findall(r"^```toml\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    points = tomllib.loads(block)["project"]["entry-points"]
    for group, base in (("zsad.methods", Method), ("zsad.datasets", Layout)):
        for path in points[group].values():
            module, _, name = path.removeprefix("my_package.").partition(":")
            assert issubclass(getattr(importlib.import_module(module), name), base)

"""The package of examples/outside_package, installed by pip next to zsad, and used as somebody would."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "examples" / "outside_package"
USE = """
import sys
from pathlib import Path
import numpy as np
from PIL import Image
from zsad.cli.main import main

rng = np.random.default_rng(0)
for seed, name in ((0, "train"), (1, "test")):
    for number in range(8):
        part, pixels = ("ok", "nok")[number % 2], rng.integers(90, 130, (64, 64, 3)).astype(np.uint8)
        mask = np.zeros((64, 64), np.uint8)
        if part == "nok":
            mask[16:40, 16:40] = 255
            pixels[mask > 0] = 255
        for kind, array in ((part, pixels), ("masks", mask)):
            if array.any() and not (part == "ok" and kind == "masks"):
                path = Path(name, "lid", kind, f"{number}.png")
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(array).save(path)
small = ["--image-size", "48"]
for words in (
    ["methods"],
    ["datasets"],
    ["data", "check", "ok-nok:train"],
    ["train", "linear-probe", "--data", "ok-nok:train", "--out", "run", *small],
    ["evaluate", "./run", "--data", "ok-nok:test", "--out", "results", "--resolution", "64"],
    ["predict", "test/lid", "--detector", "./run", "--out", "report"],
):
    print("===", *words, flush=True)
    assert main(words) == 0, words
"""


def python(*words: str, path: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1"}
    environment.pop("PYTEST_XDIST_WORKER", None)
    return subprocess.run([sys.executable, *words], cwd=cwd, env=environment, capture_output=True, text=True)


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where pip put the package; no network is needed."""
    folder = tmp_path_factory.mktemp("outside")
    shutil.copytree(SOURCE, folder / "source")
    options = ("--no-deps", "--no-build-isolation", "--no-index", "--quiet", "--disable-pip-version-check")
    done = python("-m", "pip", "install", *options, "--target", str(folder / "target"), "./source", path="", cwd=folder)
    assert done.returncode == 0, done.stderr
    return folder / "target"


def test_it_is_used_like_ours(installed: Path, tmp_path: Path) -> None:
    source = str(ROOT / "src")
    done = python("-c", USE, path=os.pathsep.join([source, str(installed)]), cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("of the package zsad-example") == 2
    assert "linear-probe" in done.stdout
    assert (tmp_path / "results" / "evaluation.json").is_file()
    card = (tmp_path / "run" / "detector.json").read_text()
    assert '"class_path": "zsad_example.linear_probe:LinearProbe"' in card
    code = "import zsad; zsad.load('./run')"
    without = python("-c", code, path=source, cwd=tmp_path)
    assert "zsad.errors.ConfigError: the method of a detector is installed" in without.stderr
    assert "install the package zsad-example, if you trust it" in without.stderr


def test_its_own_tests_pass(installed: Path) -> None:
    path = os.pathsep.join([str(ROOT / "src"), str(installed)])
    words = ("-m", "pytest", "-q", "-p", "no:cacheprovider", "-c", os.devnull, "--rootdir", ".", "source/tests")
    done = python(*words, path=path, cwd=installed.parent)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "3 passed" in done.stdout

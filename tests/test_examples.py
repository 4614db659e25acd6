"""The scripts of examples/ run without arguments, and say what they promise."""

import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[1] / "examples"
SAYS = {
    "bring_your_own_method": ("OddPatch keeps the promises of a method", "saved and loaded: score"),
    "compare_two_detectors": ("image_auroc on data: clip-ac", "95% interval", "so few make intervals too narrow"),
    "detect_in_a_folder": ("highest at row", "/part/test/good/"),
    "train_and_test": ("fe-clip on test:", "image_auroc", "trained on classes of the same name"),
}


def test_every_script_is_listed() -> None:
    assert {path.stem for path in EXAMPLES.glob("*.py")} == set(SAYS)


@pytest.mark.parametrize("name", SAYS)
def test_a_script_runs_without_arguments(name: str, tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, EXAMPLES / f"{name}.py"], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    for words in SAYS[name]:
        assert words in done.stdout
    assert not list(tmp_path.iterdir()), "it leaves nothing behind"

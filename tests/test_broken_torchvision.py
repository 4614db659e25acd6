"""A torchvision that cannot be imported, as beside a CPU build of PyTorch, does no harm."""

import os
import subprocess
import sys
from pathlib import Path

SCRIPT = """
import numpy as np, zsad
prediction = zsad.load("clip").predict(np.zeros((40, 40, 3), np.uint8))
assert prediction.anomaly_map.shape == (40, 40)
try:
    import torchvision
except RuntimeError:
    print("broken, and no harm done")
"""


def test_a_broken_torchvision_does_no_harm(tmp_path: Path) -> None:
    (tmp_path / "torchvision").mkdir()
    (tmp_path / "torchvision" / "__init__.py").write_text(
        "raise RuntimeError('operator torchvision::nms does not exist')"
    )
    found = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert "broken, and no harm done" in found.stdout, found.stderr

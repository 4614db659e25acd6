"""A process that is forked after a detector was used."""

import subprocess
import sys

FORKS = """
import os
import numpy as np, torch, zsad
torch.set_num_threads(2)
detector = zsad.load(image_size=224)
image = np.random.default_rng(0).integers(0, 255, (224, 224, 3), dtype=np.uint8)
print(detector.predict(image).score, flush=True)
if os.fork() == 0:
    print(detector.predict(image).score, flush=True)
    os._exit(0)
os.wait()
"""


def test_a_child_that_is_forked_answers_as_its_parent() -> None:
    done = subprocess.run([sys.executable, "-c", FORKS], capture_output=True, text=True, timeout=300, check=True)
    parent, child = map(float, done.stdout.split())
    assert abs(parent - child) < 1e-4

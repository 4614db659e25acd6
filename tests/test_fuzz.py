"""Damaged files of every kind are used, or refused in words; ``python -m benchmarks.fuzz`` tries thousands."""

import json
import subprocess
import sys
from pathlib import Path
from random import Random

import pytest
from benchmarks.fuzz import mutations

ROOT = Path(__file__).parents[1]


def test_damaged_files_are_used_or_refused_in_words() -> None:
    command = [sys.executable, "-m", "benchmarks.fuzz", "--cases", "30", "--seed", "1"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "30 cases, seed 1, from 0: 0 faults" in done.stdout


@pytest.mark.parametrize("way", [*mutations.OF_BYTES, *mutations.OF_JSON])
def test_a_damaged_file_is_another_file(way: mutations.Way) -> None:
    content = json.dumps({"a": [1, 2.5, {"b": "text"}], "c": None}).encode()
    drawn = [way(content, Random(seed)) for seed in range(20)]
    assert sum(one != content for one in drawn) > 10
    assert drawn == [way(content, Random(seed)) for seed in range(20)]

"""Damaged files of every kind are used, or refused in words; ``python -m benchmarks.fuzz`` tries thousands."""

import json
from random import Random

import pytest
from benchmarks.fuzz import mutations


@pytest.mark.parametrize("way", [*mutations.OF_BYTES, *mutations.OF_JSON])
def test_a_damaged_file_is_another_file(way: mutations.Way) -> None:
    content = json.dumps({"a": [1, 2.5, {"b": "text"}], "c": None}).encode()
    drawn = [way(content, Random(seed)) for seed in range(20)]
    assert sum(one != content for one in drawn) > 10
    assert drawn == [way(content, Random(seed)) for seed in range(20)]

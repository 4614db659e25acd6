"""Faults that are planted by name stand for places in the code as it is."""

from pathlib import Path

import pytest
from benchmarks.mutants.__main__ import SHARES
from benchmarks.mutants.named import NAMED, Named
from benchmarks.mutants.running import TESTS

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize("named", NAMED, ids=lambda named: named.what)
def test_a_named_fault_has_its_place(named: Named) -> None:
    fault = named.at(ROOT)
    text = (ROOT / fault.path).read_text(encoding="utf-8")
    assert text[fault.start : fault.stop] == named.old != fault.new


@pytest.mark.parametrize("place", SHARES)
def test_a_place_that_faults_are_drawn_from_has_tests(place: str) -> None:
    patterns = [pattern for start, tests in TESTS.items() if start.startswith(place) for pattern in tests]
    assert patterns
    assert all((ROOT / pattern).exists() for pattern in patterns if "{" not in pattern)

"""Faults that are planted by name stand for places in the code as it is."""

from pathlib import Path

import pytest
from benchmarks.mutants.named import NAMED, Named

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize("named", NAMED, ids=lambda named: named.what)
def test_a_named_fault_has_its_place(named: Named) -> None:
    fault = named.at(ROOT)
    text = (ROOT / fault.path).read_text(encoding="utf-8")
    assert text[fault.start : fault.stop] == named.old != fault.new

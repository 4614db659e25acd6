"""The searches of ``benchmarks.service``, a few cases of each kind: all are refused with a reason."""

from random import Random
from urllib.parse import urlsplit

import pytest
from benchmarks.service.malformed import answered, outcome
from benchmarks.service.rude import KINDS, Rude, good

from tests.service.asking import served


def test_a_malformed_request_of_each_kind_is_refused() -> None:
    with served("clip", idle_timeout=0.3, header_timeout=0.3) as address:
        port = urlsplit(address).port or 0
        assert answered(port, [good()], ends=False)[0] == 200
        for kind, (make, _) in KINDS.items():
            what, pieces = make(Random(1))
            found = outcome(port, Rude(kind, what, pieces, ends=kind == "lying lengths"))
            assert found in {"400", "403", "404", "405", "408", "413", "415", "422", "431"}, (kind, what)
        assert outcome(port, Rude("good", "", [good()])).startswith("without a reason: 200")


@pytest.mark.parametrize("kind", KINDS)
def test_cases_are_repeated_by_their_seed(kind: str) -> None:
    make, _ = KINDS[kind]
    assert make(Random(7)) == make(Random(7))
    assert len({make(Random(number))[0] for number in range(8)}) > 1

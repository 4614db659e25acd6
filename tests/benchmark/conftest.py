"""One benchmark for all tests that only read it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.benchmark.making import data, planned, run, write
from tests.trainer.toys import register_toys
from zsad.benchmark.plan import Plan
from zsad.results.leaderboard import Leaderboard


@pytest.fixture(autouse=True, scope="module")
def _toys() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        register_toys(patch)
        yield


@pytest.fixture(scope="session")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return data(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="session")
def finished(root: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Plan, Path, Leaderboard]:
    folder = tmp_path_factory.mktemp("benchmark")
    with pytest.MonkeyPatch.context() as patch:
        register_toys(patch)
        plan = planned(write(folder), root)
        return plan, folder / "out", run(plan, folder / "out")

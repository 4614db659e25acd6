"""Intervals of commands that are tested come from fewer draws than a user gets."""

import pytest

from zsad.cli import evaluate


@pytest.fixture(autouse=True)
def _few_resamples(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evaluate, "RESAMPLES", 50)

"""What the tests of the builder share."""

from pathlib import Path

import pytest
from PIL import Image


@pytest.fixture(autouse=True)
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """No proxy, no key, and no waiting: what would have been waited is noted."""
    seconds: list[float] = []
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.setattr("zsad.knowledge.chat.sleep", seconds.append)
    return seconds


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A data set of one class, with two different anomalous images, a copy of one, and a normal one."""
    for number, place in enumerate(("good/0.png", "bent/0.png", "bent/1.bmp")):
        path = tmp_path / "data" / "spring" / "test" / place
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (40, 30), (80 * number, 10, 10)).save(path)
    bent = tmp_path / "data" / "spring" / "test" / "bent"
    (bent / "2.png").write_bytes((bent / "0.png").read_bytes())
    return tmp_path / "data"

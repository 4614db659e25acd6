"""Every test runs with shapes checked at run time, away from the user's caches, and without the network."""

import os
import signal
from pathlib import Path

import pytest
from jaxtyping import install_import_hook

import tests.checked  # noqa: F401  # the hook finds it by name

os.environ["HF_HUB_OFFLINE"] = "1"
if workers := int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "0")):
    # PyTorch's threads in as many processes as there are cores would wait for each other.
    os.environ["OMP_NUM_THREADS"] = str(max((os.cpu_count() or 1) // workers, 1))
for name in ("SIGINT", "SIGHUP"):
    # A shell starts what runs in the background with these ignored, which commands inherit; tests send them.
    if hasattr(signal, name) and signal.getsignal(getattr(signal, name)) == signal.SIG_IGN:
        ours = signal.default_int_handler if name == "SIGINT" else signal.SIG_DFL
        signal.signal(getattr(signal, name), ours)
install_import_hook("zsad", "tests.checked.checked")


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    folder: Path = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("ZSAD_CACHE", str(folder / "zsad"))
    monkeypatch.setenv("HF_HOME", str(folder / "hf"))

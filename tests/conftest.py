"""Every test runs with shapes checked at run time, away from the user's caches, and without the network."""

import gc
import os
import signal
import sys
from pathlib import Path

import jaxtyping
import pytest

from tests.checked import jaxtyped

os.environ["HF_HUB_OFFLINE"] = "1"
# Some machines ask for no compiled files; each process that a test starts would compile the whole package.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False
if workers := int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "0")):
    # PyTorch's threads in as many processes as there are cores would wait for each other.
    os.environ["OMP_NUM_THREADS"] = str(max((os.cpu_count() or 1) // workers, 1))
for name in ("SIGINT", "SIGHUP"):
    # A shell starts what runs in the background with these ignored, which commands inherit; tests send them.
    if hasattr(signal, name) and signal.getsignal(getattr(signal, name)) == signal.SIG_IGN:
        ours = signal.default_int_handler if name == "SIGINT" else signal.SIG_DFL
        signal.signal(getattr(signal, name), ours)
jaxtyping.jaxtyped = jaxtyped
jaxtyping.install_import_hook("zsad", "tests.checked.checked")
# Whether it reached the disk no test can see; it takes milliseconds, a thousand times.
os.fsync = lambda descriptor: os.fstat(descriptor) and None


@pytest.hookimpl(trylast=True)
def pytest_collection_finish() -> None:
    """Let the collector of garbage, which some of what is tested calls, pass over thousands of tests and modules."""
    gc.freeze()


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    folder: Path = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("ZSAD_CACHE", str(folder / "zsad"))
    monkeypatch.setenv("HF_HOME", str(folder / "hf"))

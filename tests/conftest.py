"""Every test runs with shapes checked at run time, away from the user's caches, and without the network."""

import gc
import os
import signal
import sys
from collections import OrderedDict
from functools import wraps
from itertools import count
from pathlib import Path
from typing import Any

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
NUMBERS = count()
jaxtyping.jaxtyped = jaxtyped
jaxtyping.install_import_hook("zsad", "tests.checked.checked")
# Whether it reached the disk no test can see; it takes milliseconds, a thousand times.
os.fsync = lambda descriptor: os.fstat(descriptor) and None


@pytest.hookimpl(trylast=True)
def pytest_collection_finish() -> None:
    """Let the collector of garbage, which some of what is tested calls, pass over thousands of tests and modules."""
    gc.freeze()
    _draw_random_weights_once()


def _draw_random_weights_once() -> None:
    """Of a backbone that commands are tested with, hundreds of times; all else of it is made anew."""
    from zsad.backbones import weights

    draw, drawn = weights._random, OrderedDict[tuple[str, str], dict[str, Any]]()

    @wraps(draw)
    def random(backbone: str, config: Any) -> Any:
        key = backbone, repr(config)
        if key not in drawn:
            drawn[key] = {name: tensor.clone() for name, tensor in draw(backbone, config).state_dict().items()}
        drawn.move_to_end(key)
        while len(drawn) > 3:
            drawn.popitem(last=False)
        with weights.SkipInit():
            clip = draw(backbone, config)
        clip.load_state_dict(drawn[key])
        return clip

    weights._random = random


@pytest.fixture(scope="session")
def _caches(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("caches")


@pytest.fixture(autouse=True)
def _own_cache(_caches: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Numbered here: pytest would read all folders of the session for the next number of each.
    folder = _caches / str(next(NUMBERS))
    monkeypatch.setenv("ZSAD_CACHE", str(folder / "zsad"))
    monkeypatch.setenv("HF_HOME", str(folder / "hf"))

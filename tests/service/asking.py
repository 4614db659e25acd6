"""Images, detectors and requests of the tests."""

import base64
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from io import BytesIO
from threading import Event, Thread

import numpy as np
from PIL import Image
from starlette.testclient import TestClient

import zsad
from zsad.data.synthetic import part
from zsad.predictor import Detector
from zsad.service.app import create_app
from zsad.service.server import address, bound, make_server, run
from zsad.service.settings import ServiceSettings

Files = Sequence[tuple[str, tuple[str, bytes]]]
SIZES = ((60, 80), (90, 50), (64, 64), (70, 71))


@cache
def photo(seed: int) -> bytes:
    """A PNG of a part with a defect."""
    buffer = BytesIO()
    Image.fromarray(part(np.random.default_rng(seed), SIZES[seed % len(SIZES)])[0]).save(buffer, "PNG")
    return buffer.getvalue()


def files(count: int, field: str = "images", first: int = 0) -> Files:
    """So many of them, as parts of a form."""
    return [(field, (f"{number}.png", photo(number))) for number in range(first, first + count)]


@cache
def detector(name: str) -> Detector:
    """A detector on the embedded backbone, at a small size."""
    return zsad.load(name, image_size=64)


@contextmanager
def client(*names: str, **settings: object) -> Iterator[TestClient]:
    """A client of a service with these detectors."""
    app = create_app({name: detector(name) for name in names or ("clip",)}, ServiceSettings(**settings))
    with TestClient(app, base_url="http://127.0.0.1:8000", raise_server_exceptions=False) as found:
        yield found


def map_of(found: Mapping[str, str]) -> np.ndarray:
    """The map of a prediction."""
    return np.asarray(Image.open(BytesIO(base64.b64decode(found["map"])))).astype(np.float32) / 65535


@contextmanager
def served(*names: str, **settings: object) -> Iterator[str]:
    """The address of a service that listens, on connections of its own."""
    limits = ServiceSettings(port=0, **settings)
    listener, has_started = bound(limits), Event()
    server = make_server({name: detector(name) for name in names}, limits)
    thread = Thread(target=run, args=(server, listener, has_started.set))
    thread.start()
    try:
        assert has_started.wait(60)
        yield address(listener)
    finally:
        server.should_exit = True
        thread.join(60)
        listener.close()

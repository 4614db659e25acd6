"""Weights from the hub, whose client is answered by its cache or by a server on this machine."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import huggingface_hub
import pytest
from huggingface_hub import constants
from safetensors.torch import save
from torch import Tensor

from tests import small
from tests.backbones.test_weights import _shuffled, _zip, assert_same_weights
from zsad.backbones import config as configs
from zsad.backbones import weight_files, weights
from zsad.errors import WeightsError

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture(autouse=True)
def _small_architectures(monkeypatch: pytest.MonkeyPatch) -> None:
    small.register(monkeypatch)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache of the hub: its client reads the environment once, when it is imported."""
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    return tmp_path / "hub"


@pytest.fixture(scope="module")
def state() -> dict[str, Tensor]:
    return small.snapshot(small.build())


def lay_out(cache: Path, repo: str, name: str, content: bytes) -> None:
    """Put a file where the hub's client looks for it without a connection."""
    home = cache / f"models--{repo.replace('/', '--')}"
    (home / "snapshots" / COMMIT).mkdir(parents=True, exist_ok=True)
    (home / "refs").mkdir(exist_ok=True)
    (home / "refs" / "main").write_text(COMMIT)
    (home / "snapshots" / COMMIT / name).write_bytes(content)


class Hub(ThreadingHTTPServer):
    """A hub that holds one repository, and counts what it is asked."""

    def __init__(self, files: dict[str, bytes], listed: list[str] | None = None) -> None:
        super().__init__(("127.0.0.1", 0), _Answer)
        self.files, self.listed, self.asked = files, listed or list(files), []
        self.status = 200


class _Answer(BaseHTTPRequestHandler):
    server: Hub

    def do_GET(self) -> None:  # the library's name
        self.server.asked.append(f"{self.command} {self.path}")
        if self.path.startswith("/api/models/"):
            siblings = [{"rfilename": name} for name in self.server.listed]
            self.answer(self.server.status, json.dumps({"id": "a/b", "sha": COMMIT, "siblings": siblings}).encode())
        else:
            name = self.path.split("/resolve/main/")[-1]
            self.answer(200 if name in self.server.files else 404, self.server.files.get(name, b""))

    do_HEAD = do_GET  # noqa: N815  # the library's name

    def answer(self, status: int, content: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.send_header("ETag", f'"{abs(hash(content))}"')
        self.send_header("X-Repo-Commit", COMMIT)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(content)

    def log_message(self, *arguments: object) -> None:
        pass


@contextmanager
def serving(server: ThreadingHTTPServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "ENDPOINT", f"http://127.0.0.1:{server.server_port}")
    template = f"http://127.0.0.1:{server.server_port}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    try:
        yield
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


# --- without a connection


@pytest.mark.parametrize("backbone", ["ViT-B-32", "ViT-L-14-336"])
def test_without_a_connection_the_error_says_what_to_bring(backbone: str) -> None:
    repo = configs.get(backbone).weights["openai"].repo
    with pytest.raises(WeightsError) as caught:
        weights.load(backbone, "openai")
    for part in (f"the weights of {repo}", "open_clip_model.safetensors", f"huggingface.co/{repo}", "--weights FOLDER"):
        assert part in str(caught.value)


def test_a_repository_that_cannot_be_reached_is_named() -> None:
    with pytest.raises(WeightsError, match=r"someone/something must be on .*; got no connection, for HF_HUB_OFFLINE"):
        weights.load("small", "someone/something")


@pytest.mark.parametrize("name", weight_files.HUB_FILES)
def test_what_was_downloaded_before_is_found_without_a_connection(
    name: str, cache: Path, state: dict[str, Tensor]
) -> None:
    lay_out(cache, "someone/something", name, save(state) if name.endswith("safetensors") else _zip(state))
    for card in ("open_clip_config.json", "config.json"):
        lay_out(cache, "someone/something", card, b'{"model_cfg": {}, "preprocess_cfg": {}}')
    clip = weights.load("small", "someone/something")
    assert_same_weights(clip, state)
    assert clip.weights == "someone/something"


def test_cards_and_tokenizer_of_a_repository_are_used(cache: Path, state: dict[str, Tensor]) -> None:
    card = {"model_cfg": {}, "preprocess_cfg": {"mean": [0.5, 0.5, 0.5]}}
    lay_out(cache, "someone/something", "open_clip_model.safetensors", save(state))
    lay_out(cache, "someone/something", "open_clip_config.json", json.dumps(card).encode())
    lay_out(cache, "someone/something", "tokenizer.json", _shuffled().encode())
    clip = weights.load("small", "someone/something")
    assert (clip.config.activation, clip.config.mean) == ("gelu", (0.5, 0.5, 0.5))
    assert clip.tokenizer.encode("a cat photo") == [49406, 320, 1125, 2368, 49407]
    assert clip.weights == "someone/something"


def test_weights_without_what_says_how_they_were_trained_are_refused_offline(
    cache: Path, state: dict[str, Tensor]
) -> None:
    lay_out(cache, "someone/something", "open_clip_model.safetensors", save(state))
    with pytest.raises(WeightsError, match=r"download the \.json files"):
        weights.load("small", "someone/something")


def test_a_published_tag_brings_its_activation_and_normalisation(cache: Path, state: dict[str, Tensor]) -> None:
    lay_out(cache, "owner/name", "open_clip_model.safetensors", save(state))
    clip = weights.load("small", "published")
    assert_same_weights(clip, state)
    assert (clip.config.activation, clip.config.mean, clip.config.std) == ("gelu", (0.5,) * 3, (0.25,) * 3)
    assert clip.weights == "published (owner/name)"


# --- with a server


def test_weights_and_what_lies_beside_them_are_downloaded(
    state: dict[str, Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    config = {"vision_config": {"hidden_act": "gelu"}}
    files = {"model.safetensors": save(state), "config.json": json.dumps(config).encode(), "evil.py": b"raise"}
    server = Hub(files)
    with serving(server, monkeypatch):
        clip = weights.load("small", "someone/something")
    assert_same_weights(clip, state)
    assert clip.config.activation == "gelu"
    assert not any("evil" in asked for asked in server.asked)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert_same_weights(weights.load("small", "someone/something"), state)


def test_shards_are_downloaded(state: dict[str, Tensor], monkeypatch: pytest.MonkeyPatch) -> None:
    names = sorted(state)
    parts = {f"model-0000{n}-of-00002.safetensors": names[n - 1 :: 2] for n in (1, 2)}
    index = {"weight_map": {name: file for file, part in parts.items() for name in part}}
    files = {file: save({name: state[name] for name in part}) for file, part in parts.items()}
    files |= {"model.safetensors.index.json": json.dumps(index).encode(), "config.json": b"{}"}
    with serving(Hub(files), monkeypatch):
        assert_same_weights(weights.load("small", "someone/something"), state)
    del files["model-00002-of-00002.safetensors"]
    with (
        serving(Hub(files), monkeypatch),
        pytest.raises(WeightsError, match=r"no model-00002-of-00002\.safetensors in the repository"),
    ):
        weights.load("small", "another/one")


@pytest.mark.parametrize("name", ["../../../escaped.safetensors", "/tmp/escaped.safetensors", "a/b.safetensors"])
def test_the_names_of_a_repository_do_not_leave_the_cache(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    index = json.dumps({"weight_map": {"visual.conv1.weight": name}}).encode()
    server = Hub({"model.safetensors.index.json": index, name: b"x"}, ["model.safetensors.index.json", name])
    with (
        serving(server, monkeypatch),
        pytest.raises(WeightsError, match=r"index\.json must say in which file .*which is no name of a weights file"),
    ):
        weights.load("small", "someone/something")
    assert not any("escaped" in asked or "b.safe" in asked for asked in server.asked)
    assert not list(tmp_path.rglob("*escaped*"))


def test_a_repository_without_weights_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    with (
        serving(Hub({"README.md": b""}), monkeypatch),
        pytest.raises(WeightsError, match=r"none of open_clip_model\.safetensors.* in the repository"),
    ):
        weights.load("small", "someone/something")


@pytest.mark.parametrize("status", [401, 403, 404, 500, 503])
def test_a_hub_that_refuses_is_asked_once(status: int, monkeypatch: pytest.MonkeyPatch) -> None:
    server = Hub({})
    server.status = status
    with serving(server, monkeypatch), pytest.raises(WeightsError, match=r"someone/something must be on this machine"):
        weights.load("small", "someone/something")
    assert len(server.asked) == 1


def test_a_hub_that_cannot_be_reached_is_asked_once(tmp_path: Path) -> None:
    """The whole command at an address where nobody listens; the client asks for something of its own too, once."""
    counting = (
        "import socket, sys\nconnect, tries = socket.socket.connect, []\n"
        "def watch(self, address):\n    tries.append(address)\n    return connect(self, address)\n"
        "socket.socket.connect = watch\n"
        "from zsad.backbones import weights\nfrom zsad.errors import WeightsError\n"
        "try:\n    weights.load('ViT-B-32', 'someone/something')\n"
        "except WeightsError as error:\n    print(error)\n"
        "print('tries', len(tries))"
    )
    environment = {
        **{name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")},
        "HF_HUB_OFFLINE": "0",
        "HF_ENDPOINT": "http://127.0.0.1:9",
        "HF_HOME": str(tmp_path),
    }
    done = subprocess.run(
        [sys.executable, "-c", counting], capture_output=True, text=True, check=True, env=environment, timeout=120
    )
    assert "someone/something must be on this machine, downloadable or in the cache" in done.stdout
    assert int(done.stdout.split()[-1]) in (1, 2)


def test_a_download_that_breaks_off_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*arguments: object, **options: object) -> str:
        raise ConnectionResetError("the proxy hung up\nat line 3")

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", broken)
    found = weight_files.Repository("someone/something", frozenset(["model.safetensors"]))
    with pytest.raises(WeightsError, match=r"someone/something.*; got ConnectionResetError: the proxy hung up\."):
        found.fetch("model.safetensors")


@pytest.mark.parametrize(
    ("raised", "said"),
    [
        (lambda: huggingface_hub.errors.LocalEntryNotFoundError("gone"), "gone"),
        (lambda: OSError(), "OSError"),
    ],
)
def test_whatever_the_hubs_client_raises_is_told(
    raised: Callable[[], Exception], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*arguments: object, **options: object) -> str:
        raise raised()

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", broken)
    with pytest.raises(WeightsError, match=said):
        weight_files.Repository("someone/something", frozenset(["model.safetensors"])).fetch("model.safetensors")

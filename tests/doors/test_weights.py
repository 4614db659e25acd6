"""Weights of others: whatever their file does when it is unpickled or loaded as TorchScript, here it does nothing."""

import json
import os
import pickle
import struct
from contextlib import suppress
from pathlib import Path

import pytest
import torch
from huggingface_hub import constants
from safetensors.torch import save_file
from torch import Tensor, nn

import zsad
from tests import small
from tests.backbones.test_hub import lay_out
from tests.doors.hostile import ACTING, FORMS, archive, call, entry, named, stream, text, written
from zsad.backbones import weights
from zsad.errors import WeightsError, ZsadError
from zsad.tensors import pickles, reading
from zsad.tensors.reading import read_saved, read_sets

TENSOR = "torch._utils", "_rebuild_tensor_v2"


@pytest.fixture(autouse=True)
def _small_architectures(monkeypatch: pytest.MonkeyPatch) -> None:
    small.register(monkeypatch)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)


@pytest.fixture
def marker(tmp_path: Path) -> Path:
    """A folder that is made by whoever runs what a file says."""
    return tmp_path / "it ran"


@pytest.mark.parametrize("what", ACTING)
@pytest.mark.parametrize("form", FORMS)
def test_a_pickle_that_acts_does_nothing(what: str, form: str, marker: Path, tmp_path: Path) -> None:
    path = written(tmp_path / "w.pt", FORMS[form](entry(ACTING[what](str(marker)))))
    with pytest.raises(WeightsError, match=r"w\.pt (must be a readable file of weights|holds weights of CLIP)"):
        weights.load("small", str(path))
    with suppress(WeightsError):
        read_saved(path)
    assert not marker.exists()


@pytest.mark.parametrize("what", ACTING)
@pytest.mark.filterwarnings("ignore")
def test_it_does_act_where_it_is_unpickled(what: str, marker: Path) -> None:
    """Else the test above could not fail."""
    with suppress(Exception):  # many of them fail once they have acted
        made = pickle.loads(entry(ACTING[what](str(marker))))
        made["visual.conv1.weight"].wait()  # for a process
    assert marker.is_dir()


class Acting(nn.Module):
    """TorchScript that writes into a file while it is loaded."""

    def __init__(self, path: str) -> None:
        super().__init__()
        self.path = path
        self.weight = torch.zeros(1)

    def forward(self, x: Tensor) -> Tensor:
        return x

    @torch.jit.export
    def __getstate__(self) -> tuple[Tensor, str, bool]:
        return (self.weight, self.path, self.training)

    @torch.jit.export
    def __setstate__(self, state: tuple[Tensor, str, bool]) -> None:
        self.path, self.training = state[1], state[2]
        target = torch.from_file(state[1], True, 4, dtype=torch.uint8)
        target.copy_(torch.tensor([88, 88, 88, 88], dtype=torch.uint8))
        self.weight = target.float()


@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")
@pytest.mark.parametrize("way", ["file", "folder", "detector", "hub", "safetensors"])
def test_torchscript_that_acts_does_nothing(way: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    notes = written(tmp_path / "notes.txt", b"my notes")
    name = {"folder": "pytorch_model.bin", "safetensors": "model.safetensors"}.get(way, "w.pt")
    path = tmp_path / "weights" / name
    path.parent.mkdir()
    torch.jit.script(Acting(str(notes))).save(str(path))
    asked = str(path.parent) if way == "folder" else str(path)
    if way == "hub":
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
        lay_out(tmp_path / "hub", "some/one", "pytorch_model.bin", path.read_bytes())
        lay_out(tmp_path / "hub", "some/one", "config.json", b"{}")
        asked = "some/one"
    if way == "detector":
        card = {"method": "clip", "backbone": "small", "weights": str(path)}
        written(tmp_path / "detector" / "detector.json", json.dumps(card).encode())
    with pytest.raises(WeightsError, match=r"weights of CLIP|readable file of weights"):
        zsad.load(tmp_path / "detector") if way == "detector" else weights.load("small", asked)
    assert notes.read_bytes() == b"my notes"
    torch.jit.load(path)
    assert notes.read_bytes() == b"XXXXotes"  # the test could fail


# --- files that would take for ever, or all memory


def nested(levels: int) -> bytes:
    """A tuple of two of a tuple of two of ...: 2**levels leaves, each level remembered and taken twice."""
    return b")" + b"".join(b"q" + bytes([n]) + b"h" + bytes([n]) + b"\x86" for n in range(levels))


def long_tensor(count: int, size: bytes, stride: bytes, offset: bytes = b"K\x00") -> bytes:
    array = b"(" + text("storage") + named("torch", "FloatStorage") + text("0") + text("cpu")
    array += b"\x8a\x08" + struct.pack("<q", count) + b"tQ"
    return call(*TENSOR, array, offset, size, stride, b"\x89", call("collections", "OrderedDict"))


def twin(number: int) -> bytes:
    """A module with the former module as its child, twice."""
    former = b"h" + bytes([number - 1]) if number else b"N"
    made = named("__torch__", "M") + b")\x81}(" + text("a") + former + text("b") + former + b"ub"
    return made + b"q" + bytes([number]) + b"0"


HUGE = b"\x8a\x08" + struct.pack("<q", 2**47)
BOMBS = {
    "a nest as key": entry(b"}" + nested(200) + b"Ns"),
    "a nest as value": entry(nested(200)),
    "a nest as name": entry(nested(200) + text("x") + b"\x93"),
    "a nest as size": entry(long_tensor(4, nested(200), nested(200))),
    "a nest as array": entry(nested(200) + b"Q"),
    "a nest as keys of a stream": stream(entry(b"N"))[:-4] + b"](" + nested(200) + b"e.",
    "a memory of great numbers": entry(b"Nr\xff\xff\xff\xff"),
    "a text of exabytes": entry(b"\x8d" + struct.pack("<Q", 2**62)),
    "bytes of exabytes": entry(b"\x8e" + struct.pack("<Q", 2**62)),
    "a number of gigabytes": entry(b"\x8b" + struct.pack("<i", 2**31 - 1)),
    "a frame of exabytes": b"\x80\x04\x95" + struct.pack("<Q", 2**62) + entry(b"N"),
    "a nest of lists": entry(b"]" * 20_000 + b"a" * 19_999),
    "a nest of tuples": entry(b")" + b"\x85" * 20_000),
    "marks without end": entry(b"(" * 20_000),
    "too many steps": entry(b"N0" * 30_000 + b"N"),
    "a list handed over for ever": entry(
        b"](" + b"N" * 1_000 + b"eq\x00" + (named("a", "b") + b"h\x00\x85R0") * 900 + b"N"
    ),
    "a name of megabytes": entry(named("a" * 5_000_000, "b") + b"q\x00" + b"h\x00)R0" * 1000),
    "a list within itself": entry(b"]q\x00h\x00a"),
    "a module within itself": archive(
        b"\x80\x02" + named("__torch__", "M") + b")\x81q\x00}" + text("a") + b"h\x00sb.", torchscript=True
    ),
    "a nest of modules": archive(b"\x80\x02" + b"".join(map(twin, range(30))) + b"h\x1d.", torchscript=True),
    "a tensor beyond its array": entry(long_tensor(4, b"K\x04\x85", b"K\x02\x85")),
    "a tensor that begins beyond its array": entry(long_tensor(4, b"K\x01\x85", b"K\x01\x85", b"K\x04")),
    "a tensor of terabytes from one number": entry(long_tensor(1, HUGE + HUGE + b"\x86", b"K\x00K\x00\x86")),
    "a tensor of a negative size": entry(long_tensor(4, b"J\xff\xff\xff\xff\x85", b"K\x01\x85")),
    "a tensor of a negative step": entry(long_tensor(4, b"K\x02\x85", b"J\xff\xff\xff\xff\x85")),
    "a tensor of a number of dimensions": entry(
        long_tensor(4, b"(" + b"K\x01" * 99 + b"t", b"(" + b"K\x01" * 99 + b"t")
    ),
    "an array of terabytes": entry(long_tensor(2**47, b"K\x01\x85", b"K\x01\x85")),
    "an array of a negative length": entry(long_tensor(-1, b"K\x00\x85", b"K\x01\x85")),
    "an array elsewhere": entry(text("/etc/passwd") + b"Q"),
}


@pytest.mark.parametrize("what", BOMBS)
@pytest.mark.parametrize("form", FORMS)
def test_a_bomb_is_refused(what: str, form: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each would otherwise take for ever, or gigabytes."""
    monkeypatch.setattr(pickles, "MAX_STEPS", 50_000)  # the checks of tests take ten times the time
    monkeypatch.setattr(reading, "NODES", 5_000)
    content = BOMBS[what]
    whole = content if content.startswith(b"PK") or b"little_endian" in content[:200] else FORMS[form](content)
    path = written(tmp_path / "w.pt", whole)
    with pytest.raises(WeightsError) as caught:
        weights.load("small", str(path))
    assert len(str(caught.value)) < 1000 + 2 * len(str(path))
    with suppress(WeightsError):
        read_saved(path)


def test_a_repeated_tensor_is_small(tmp_path: Path) -> None:
    """Of one number a million may be made, as expanded tensors are; more is refused (above)."""
    torch.save({"a": torch.ones(1).expand(1024, 1024)}, tmp_path / "w.pt")
    assert read_sets(tmp_path / "w.pt", lambda _: True)[""]["a"].shape == (1024, 1024)


# --- files in the place of weights


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes on this system")
def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "w.pt")
    with pytest.raises(WeightsError, match=r"a regular file or a folder; got .*w\.pt, a pipe or device"):
        weights.load("small", str(tmp_path / "w.pt"))


@pytest.mark.parametrize("file", ["config.json", "preprocessor_config.json", "tokenizer.json", "merges.txt.gz"])
def test_what_lies_beside_weights_is_bounded(file: str, tmp_path: Path) -> None:
    save_file(small.snapshot(small.build()), tmp_path / "model.safetensors")
    if file == "merges.txt.gz":
        import gzip

        content = gzip.compress(b"a b\n" * 40_000_000, 1)
        assert len(content) < 2_000_000
    else:
        content = b'{"vision_config": ' * 100_000
    written(tmp_path / file, content)
    with pytest.raises(ZsadError, match=file.replace(".", r"\.")):
        weights.load("small", str(tmp_path))


@pytest.mark.parametrize("pattern", ["(a+)+$", "'s|'t", r"(\w|\w\w)*x"])
def test_a_tokenizer_brings_no_regular_expression_of_its_own(pattern: str, tmp_path: Path) -> None:
    """One of nested repeats takes longer than the universe over forty letters."""
    save_file(small.snapshot(small.build()), tmp_path / "model.safetensors")
    said = json.loads(small.tokenizer().backend.to_str())
    split = {"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Removed", "invert": True}
    said["pre_tokenizer"] = {"type": "Sequence", "pretokenizers": [split]}
    (tmp_path / "tokenizer.json").write_text(json.dumps(said))
    with pytest.raises(WeightsError, match=r"tokenizer\.json must be .* got the regular expression .* not CLIP's"):
        weights.load("small", str(tmp_path))

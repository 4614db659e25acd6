"""Every form in which PyTorch writes tensors is read as PyTorch itself reads it, and nothing else is."""

import argparse
import collections
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from zsad.errors import WeightsError
from zsad.tensors import archives, reading
from zsad.tensors.pickled import UnreadableTensor
from zsad.tensors.reading import check_finite, is_finite, read_safetensors, read_saved, read_sets


def every(names: set[str]) -> bool:
    return True


def only(path: Path) -> dict[str, Tensor | UnreadableTensor]:
    """The one set that a file holds."""
    (found,) = read_sets(path, every).values()
    return found


def draws() -> dict[str, Tensor]:
    """One tensor of every kind that weights have."""
    make = torch.Generator().manual_seed(0)
    base = torch.randn(6, 5, generator=make)
    kinds = (torch.float16, torch.bfloat16, torch.float64, torch.int64, torch.int8, torch.uint8, torch.bool)
    return {
        "plain": base,
        "scalar": torch.tensor(4.6),
        "empty": torch.empty(0, 3),
        "transposed": base.T,
        "a slice that shares": base[2:4, 1:3],
        "repeated": torch.ones(1).expand(3, 4),
        "channels last": torch.randn(1, 3, 4, 4, generator=make).contiguous(memory_format=torch.channels_last),
        "wide": torch.arange(3, dtype=torch.int32).to(torch.uint16),
        "complex": torch.randn(2, dtype=torch.complex64, generator=make),
        **{str(kind): (base * 10).to(kind) for kind in kinds},
    }


@pytest.mark.parametrize("new", [True, False], ids=["archive", "stream"])
@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_tensors_are_those_of_pytorch(new: bool, protocol: int, tmp_path: Path) -> None:
    path = tmp_path / "w.pt"
    tensors = draws()
    torch.save(tensors, path, _use_new_zipfile_serialization=new, pickle_protocol=protocol)
    found = only(path)
    torch.testing.assert_close(found, tensors, rtol=0, atol=0)
    assert {name: one.stride() for name, one in found.items()} == {name: one.stride() for name, one in tensors.items()}
    # What shares memory shares it here too.
    found["plain"][2, 1] = 77
    assert found["a slice that shares"][0, 0] == 77
    assert found["transposed"][1, 2] == 77


@pytest.mark.parametrize("new", [True, False], ids=["archive", "stream"])
def test_parameters_and_wrapped_training_states_are_found_by_their_place(new: bool, tmp_path: Path) -> None:
    model = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3))
    optimiser = torch.optim.AdamW(model.parameters())
    model(torch.ones(4, 2)).sum().backward()
    optimiser.step()
    content = {
        "epoch": 3,
        "state_dict": model.state_dict(),
        "optimizer": optimiser.state_dict(),
        "parameters": dict(model.named_parameters()),
        "args": argparse.Namespace(lr=1, layers=[1, 2], device=torch.device("cpu"), dtype=torch.float16),
        "counter": collections.Counter("aab"),
        "deep": collections.defaultdict(list, {"nested": {"ema": model.state_dict()}}),
        "a set": {1, 2},
        ("a", "tuple"): {"hidden": torch.ones(1)},
    }
    torch.save(content, tmp_path / "w.pt", _use_new_zipfile_serialization=new)
    found = read_sets(tmp_path / "w.pt", lambda names: "0.weight" in names)
    # The same tensors once more, in another place, are an alias of a state dict of its own.
    assert set(found) == {"state_dict", "parameters", "deep.nested.ema"}
    torch.testing.assert_close(found["state_dict"], dict(model.state_dict()), rtol=0, atol=0)
    torch.testing.assert_close(
        found["parameters"], {name: one.detach() for name, one in model.named_parameters()}, rtol=0, atol=0
    )


def test_a_module_that_was_saved_whole_is_read_without_its_class(tmp_path: Path) -> None:
    model = nn.Sequential(nn.Linear(2, 3), nn.ModuleDict({"norm": nn.BatchNorm1d(3)}))
    torch.save({"model": model}, tmp_path / "w.pt")
    torch.testing.assert_close(only(tmp_path / "w.pt"), dict(model.state_dict()), rtol=0, atol=0)


def test_all_that_was_saved_is_read(tmp_path: Path) -> None:
    tensor = torch.arange(3.0)
    content = {"step": 3, "learner": {"a": tensor}, "groups": [{"lr": 0.1, "betas": (0.9, 0.98), "no": None}], 7: "x"}
    torch.save(content, tmp_path / "w.pt")
    found = read_saved(tmp_path / "w.pt")
    torch.testing.assert_close(found["learner"].pop("a"), tensor)
    assert found == {**content, "learner": {}}


def test_an_optimiser_goes_on_from_what_was_saved(tmp_path: Path) -> None:
    """As torch.load would have it, without what torch.load can do."""

    def run(steps: int, state: object = None) -> tuple[nn.Module, torch.optim.Optimizer]:
        torch.manual_seed(0)
        model = nn.Linear(2, 2)
        optimiser = torch.optim.AdamW(model.parameters(), lr=0.1)
        if state is not None:
            model.load_state_dict(state["model"])
            optimiser.load_state_dict(state["optimizer"])
        for _ in range(steps):
            optimiser.zero_grad()
            model(torch.ones(1, 2)).square().sum().backward()
            optimiser.step()
        return model, optimiser

    model, optimiser = run(2)
    torch.save({"model": model.state_dict(), "optimizer": optimiser.state_dict()}, tmp_path / "w.pt")
    continued, _ = run(2, read_saved(tmp_path / "w.pt"))
    torch.testing.assert_close(continued.state_dict(), run(4)[0].state_dict(), rtol=0, atol=0)


def test_arrays_of_the_other_order_of_bytes_are_turned(tmp_path: Path) -> None:
    tensors = {"half": torch.arange(3).half(), "long": torch.arange(4), "byte": torch.arange(5, dtype=torch.uint8)}
    torch.save(tensors, tmp_path / "little.pt")
    rewrite(tmp_path / "little.pt", tmp_path / "big.pt", turned)
    torch.testing.assert_close(only(tmp_path / "big.pt"), tensors, rtol=0, atol=0)
    torch.testing.assert_close(torch.load(tmp_path / "big.pt"), tensors, rtol=0, atol=0)


def turned(name: str, content: bytes) -> bytes:
    if name.endswith("byteorder"):
        return b"big"
    widths = {"data/0": 2, "data/1": 8}
    width = next((size for end, size in widths.items() if name.endswith(end)), 1)
    return b"".join(content[at : at + width][::-1] for at in range(0, len(content), width))


def rewrite(source: Path, target: Path, change: Callable[[str, bytes], bytes | None], method: int = 0) -> None:
    """The archive with other content."""
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w", method) as new:
        for name in old.namelist():
            content = change(name, old.read(name))
            if content is not None:
                new.writestr(name, content)


# --- TorchScript


class Inner(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(3, 2)
        self.register_buffer("buffer", torch.arange(4.0))
        self.register_buffer("passing", torch.zeros(2), persistent=False)
        self.attribute = torch.ones(2)
        self.number, self.numbers, self.name = 3, [1, 2], "x"

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(x) + self.attribute


class Outer(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.ModuleList([Inner(), Inner()])
        self.convolution = nn.Conv2d(3, 4, 2, bias=False)
        self.scale = nn.Parameter(torch.tensor(4.6))
        self.tied = nn.Linear(2, 3)
        self.blocks[1].linear.weight = self.blocks[0].linear.weight

    def forward(self, x: Tensor) -> Tensor:
        for block in self.blocks:
            x = self.tied(block(x))
        return x * self.scale


@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")
@pytest.mark.parametrize("kind", ["script", "trace", "half", "double"])
def test_a_torchscript_archive_holds_what_pytorch_reads_from_it(kind: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    model, path = Outer().eval(), tmp_path / "w.pt"
    made = torch.jit.trace(model, torch.ones(1, 3)) if kind == "trace" else torch.jit.script(model)
    if kind in ("half", "double"):
        made = getattr(made, kind)()
    made.save(str(path))
    expected = dict(torch.jit.load(path, map_location="cpu").state_dict())
    assert len(expected) >= 8
    torch.testing.assert_close(only(path), {name: one.detach() for name, one in expected.items()}, rtol=0, atol=0)


# --- what is refused, by name


@pytest.mark.parametrize(
    ("tensor", "what"),
    [
        (lambda: torch.eye(3).to_sparse(), "sparse"),
        (lambda: torch.eye(3).to_sparse_csr(), "sparse"),
        (lambda: torch.quantize_per_tensor(torch.ones(3), 0.1, 0, torch.qint8), "quantised"),
        (lambda: torch.empty(3, device="meta"), "without content"),
        (lambda: torch.ones(2, dtype=torch.complex64).conj(), "complex"),
        (lambda: torch.ones(2).to(torch.float8_e4m3fn), "float8_e4m3fn"),
    ],
    ids=["sparse", "csr", "quantised", "meta", "conjugate", "float8"],
)
@pytest.mark.filterwarnings("ignore:Sparse CSR:UserWarning")
@pytest.mark.filterwarnings("ignore:.*quantize_per_tensor.*")
@pytest.mark.filterwarnings("ignore:torch.ao.quantization:DeprecationWarning")
def test_tensors_of_other_kinds_are_said_to_be_so(tensor: Callable[[], Tensor], what: str, tmp_path: Path) -> None:
    torch.save({"odd": tensor(), "plain": torch.ones(2)}, tmp_path / "w.pt")
    found = only(tmp_path / "w.pt")
    assert isinstance(found["odd"], UnreadableTensor)
    assert what in found["odd"].what
    torch.testing.assert_close(found["plain"], torch.ones(2))
    with pytest.raises(WeightsError, match=what):
        read_saved(tmp_path / "w.pt")


@pytest.mark.parametrize(
    ("content", "said", "remedy"),
    [
        (b"", "an empty file", "download it again"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:00", "a pointer of Git LFS", "git lfs pull"),
        (b"<!DOCTYPE html>", "a page of a web site", "download it again"),
        (b"\x89HDF\r\n\x1a\n", "a file of Keras", "for PyTorch"),
        (b"GGUF\x03", "llama.cpp", "for PyTorch"),
        (b"\x1f\x8b\x08" + bytes(50), "compressed by gzip", "unpack it first"),
    ],
)
def test_what_lies_in_the_place_of_weights_is_named(content: bytes, said: str, remedy: str, tmp_path: Path) -> None:
    (tmp_path / "w.pt").write_bytes(content)
    with pytest.raises(WeightsError, match=f"w\\.pt must be a readable file of weights; got .*{said}.*{remedy}"):
        read_sets(tmp_path / "w.pt", every)


def test_a_safetensors_file_is_one_under_any_name(tmp_path: Path) -> None:
    save_file({"a": torch.ones(2)}, tmp_path / "w.bin", {"said": "so"})
    torch.testing.assert_close(only(tmp_path / "w.bin"), {"a": torch.ones(2)})
    tensors, words = read_safetensors(tmp_path / "w.bin")
    torch.testing.assert_close(tensors, {"a": torch.ones(2)})
    assert words == {"said": "so"}


def test_an_absurd_header_is_refused(tmp_path: Path) -> None:
    (tmp_path / "w.safetensors").write_bytes(struct.pack("<Q", 2**60) + b"{}")
    with pytest.raises(WeightsError, match=rf"a header of {2**60} bytes"):
        read_safetensors(tmp_path / "w.safetensors")


def test_a_folder_in_the_place_of_a_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="a folder, pipe or device"):
        read_saved(tmp_path)


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    torch.save({"a": torch.arange(100.0)}, tmp_path / "whole.pt")
    return tmp_path / "whole.pt"


def refused(path: Path, match: str) -> None:
    with pytest.raises(WeightsError, match=rf"{path.name} must be a readable file of weights; got .*{match}"):
        read_sets(path, every)


def test_damage_inside_an_archive_is_noticed(archive: Path) -> None:
    content = bytearray(archive.read_bytes())
    content[content.index(torch.arange(100.0).numpy().tobytes()) + 11] ^= 1
    archive.write_bytes(content)
    refused(archive, "Bad CRC-32")


def test_archives_that_pytorch_does_not_write_are_refused(archive: Path, tmp_path: Path) -> None:
    def keep(name: str, content: bytes) -> bytes:
        return content

    changed = tmp_path / "changed.pt"
    rewrite(archive, changed, keep, zipfile.ZIP_DEFLATED)
    refused(changed, "a compressed array")
    rewrite(archive, changed, lambda name, content: None if name.endswith("data/0") else content)
    refused(changed, "an archive without data/0")
    rewrite(archive, changed, lambda name, content: content[:8] if name.endswith("data/0") else content)
    refused(changed, "the array 0 is too short")
    rewrite(archive, changed, lambda name, content: b"middle" if name.endswith("byteorder") else content)
    refused(changed, "an unknown order of bytes")
    rewrite(archive, changed, lambda name, content: None if name.endswith("data.pkl") else content)
    refused(changed, "an archive that PyTorch did not write")
    with zipfile.ZipFile(changed, "w") as file:
        file.writestr("a/data.pkl", b"N.")
        with pytest.warns(UserWarning, match="Duplicate"):
            file.writestr("a/data.pkl", b"N.")
    refused(changed, "two entries of one name")


def test_a_pickle_that_unpacks_to_too_much_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with zipfile.ZipFile(tmp_path / "bomb.pt", "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("a/data.pkl", bytes(archives.PICKLE + 1))
    assert (tmp_path / "bomb.pt").stat().st_size < 100_000
    refused(tmp_path / "bomb.pt", "data.pkl of 16777217 bytes")


def test_a_table_of_contents_of_millions_of_entries_is_refused(
    archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archives, "DIRECTORY", 100)
    refused(archive, "an archive of millions of entries")


def test_entries_that_lie_over_each_other_are_refused(archive: Path) -> None:
    """Many entries of one array would make gigabytes of it."""
    content = bytearray(archive.read_bytes())
    at = content.index(b"PK\x01\x02")
    while at >= 0:
        struct.pack_into("<II", content, at + 20, 400, 400)
        at = content.find(b"PK\x01\x02", at + 1)
    archive.write_bytes(content)
    refused(archive, "entries overlap")


def test_infinite_numbers_and_nan_are_found_in_every_type() -> None:
    for kind in (torch.float16, torch.bfloat16, torch.float32, torch.float64, torch.complex64):
        whole = torch.ones(3, 4, dtype=kind)
        assert is_finite(whole)
        for odd in (torch.nan, torch.inf, -torch.inf):
            damaged = whole.clone()
            damaged[1, 2] = odd
            assert not is_finite(damaged)
    assert is_finite(torch.ones(2, dtype=torch.int8))
    assert is_finite(torch.empty(0))
    with pytest.raises(WeightsError, match=r"the numbers of w\.pt are finite; got 2 of the 4 numbers of b are"):
        check_finite({"a": torch.ones(2), "b": torch.tensor([1, torch.inf, torch.nan, 2])}, "w.pt", "train again")


def test_a_nest_of_values_is_refused(tmp_path: Path) -> None:
    nest: list[object] = [torch.ones(1)]
    for _ in range(reading.DEPTH + 1):
        nest = [nest]
    torch.save(nest, tmp_path / "w.pt")
    with pytest.raises(WeightsError, match="a nest of values"):
        read_saved(tmp_path / "w.pt")

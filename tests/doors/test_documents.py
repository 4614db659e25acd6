"""Every text of others that is read: a hostile one does nothing, and what is said names it and what was expected."""

import json
import os
import resource
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from zsad import checkpoint
from zsad.backbones import cards
from zsad.backbones import config as architectures
from zsad.benchmark import data_sets
from zsad.benchmark import recipe as benchmark
from zsad.data.layouts import get
from zsad.errors import ConfigError, InputError, WeightsError
from zsad.knowledge import Knowledge
from zsad.results import store
from zsad.tools.pretrain import export
from zsad.tools.pretrain import recipe as pretraining
from zsad.tools.pretrain import store as pretraining_store
from zsad.trainer import recipe as training

Put = Callable[[Path], object]
Read = Callable[[Path], object]


def content(value: bytes) -> Put:
    return lambda path: path.write_bytes(value)


def terabyte(path: Path) -> None:
    """A file that takes no room."""
    with path.open("wb") as file:
        file.truncate(2**40)


JSON: dict[str, Put] = {
    "nested": content(b"[" * 100_000),
    "nested objects": content(b'{"a":' * 100_000),
    "10^400": content(b'{"a": 1' + b"0" * 400 + b"}"),
    "1e400": content(b'{"a": 1e400}'),
    "NaN": content(b'{"a": NaN}'),
    "5,000 digits": content(b'{"a": ' + b"7" * 5000 + b"}"),
    "U+0000": content(b'{"a\\u0000": "\\u0000"}'),
    "half a character": content(b'{"a": "\\ud800"}'),
    "not UTF-8": content(b'{"a": "\xff"}'),
    "UTF-16": content('{"a": 1}'.encode("utf-16")),
    "a key twice": content(b'{"a": 1, "a": 2}'),
    "many brackets": content(b"[" + b"[]," * 6_000_000 + b"[]]"),
    "empty": content(b""),
}
TOML: dict[str, Put] = {
    "nested": content(b"a = " + b"[" * 100_000),
    "nested tables": content(b"a = " + b"{b = " * 100_000),
    "a long key": content(b"a." * 200_000 + b"b = 1"),
    "10^400": content(b"a = 1" + b"0" * 400),
    "nan": content(b"a = nan"),
    "5,000 digits": content(b"a = " + b"7" * 5000),
    "U+0000": content(b'a = "\\u0000"'),
    "not UTF-8": content(b'a = "\xff"'),
    "UTF-16": content("a = 1".encode("utf-16")),
    "no TOML": content(b"\x7fELF"),
}
CSV: dict[str, Put] = {
    "U+0000": content(b"object,split,label,image,mask\n\0,,,,\n"),
    "one endless cell": content(b'"' + b"x" * 1_000_000),
    "no table": content(b"\x7fELF\r\r\r,,,,\n1"),
}
FILES: dict[str, Put] = {"a pipe": os.mkfifo, "a folder": Path.mkdir, "a terabyte": terabyte}

BESIDE = ("a pipe", "a folder")
"""What is no file is no card either, and left alone."""


def doors(puts: dict[str, Put], **which: tuple[str, Read]) -> Iterator[object]:
    for door, (name, read) in which.items():
        for kind, put in puts.items():
            yield pytest.param(name, read, put, id=f"{door}: {kind}")


CASES = [
    *doors(
        JSON | FILES,
        card=(checkpoint.CARD, lambda path: checkpoint.read(path.parent)),
        calibration=(checkpoint.CALIBRATION, lambda path: checkpoint.read_training_record(path.parent)),
        training=(checkpoint.TRAINING, lambda path: checkpoint.read_training_record(path.parent)),
        evaluation=(store.EVALUATION, store.read),
        class_result=(store.CLASS, lambda path: store.read_class(path.parent)),
        benchmark_data=(data_sets.FILE, lambda path: data_sets.read(path.parent)),
        knowledge=("knowledge.json", Knowledge.read),
        sources=("sources.json", export.read_sources),
    ),
    *doors(
        {kind: put for kind, put in (JSON | FILES).items() if kind not in BESIDE},
        meta_json=("meta.json", lambda path: get("meta-json").samples(path.parent)),
        jsonl=("list.jsonl", lambda path: get("jsonl").samples(path)),
        hugging_face=(
            "config.json",
            lambda path: cards.described(path.with_name("model.safetensors"), architectures.get("ViT-B-32")),
        ),
    ),
    *doors(
        {kind: put for kind, put in (JSON | FILES).items() if kind != "empty"},
        corpus=("captions.jsonl", pretraining_store.read_corpus),
    ),
    *doors(
        TOML | FILES,
        recipe=("recipe.toml", lambda path: training.read(str(path))),
        benchmark=("benchmark.toml", benchmark.read),
        pretraining=("tiny.toml", pretraining.read),
    ),
    *doors(
        CSV | {"a terabyte": terabyte, "not UTF-8": content(b"\xff\xfe\x00")},
        head_ct=("labels.csv", lambda path: get("head-ct").samples(path.parent)),
    ),
    *doors(
        CSV | FILES,
        images=(store.IMAGES, lambda path: store.read_images(path.parent)),
    ),
    *doors(
        {"a terabyte": terabyte, "not UTF-8": content(b"\xff")},
        images=(checkpoint.IMAGES, lambda path: checkpoint.read_training_record(path.parent)),
    ),
]


@pytest.mark.parametrize(("name", "read", "put"), CASES)
def test_a_hostile_document_is_refused_by_its_name(name: str, read: Read, put: Put, tmp_path: Path) -> None:
    put(tmp_path / name)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises((ConfigError, InputError, WeightsError)) as caught:
        read(tmp_path / name)
    assert name in str(caught.value)
    assert caught.value.remedy
    assert len(str(caught.value)) < 11_000
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 2_000_000  # kB
    assert [path.name for path in tmp_path.iterdir()] == [name]


NO_PATHS = (
    *("x" * 5000, "/" + "x/" * 3000, "../" * 2000, r"\\server\share\..", "con", "|", "."),
    *("\udcff.png", "\x1b[2J\n", "\u202e"),
)


@pytest.mark.parametrize("path", NO_PATHS)
def test_a_list_of_paths_that_no_file_has_is_refused_by_its_name(path: str, tmp_path: Path) -> None:
    line = {"image_path": path, "label": 1, "class_name": path, "mask_path": path}
    (tmp_path / "list.jsonl").write_text(json.dumps(line))
    with pytest.raises(InputError, match="the images of a list exist") as caught:
        get("jsonl").samples(tmp_path / "list.jsonl")
    assert "list.jsonl" in str(caught.value)

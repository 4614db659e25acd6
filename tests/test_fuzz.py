"""Damaged files of every kind are used, or refused in words; ``python -m benchmarks.fuzz`` tries thousands."""

import json
import subprocess
import sys
import zlib
from io import BytesIO
from pathlib import Path
from random import Random

import pytest
from benchmarks.fuzz import mutations
from benchmarks.fuzz.requests import form
from PIL import Image

from zsad.export.card import KEY
from zsad.export.protobuf import entry

ROOT = Path(__file__).parents[1]


def test_damaged_files_are_used_or_refused_in_words() -> None:
    command = [sys.executable, "-m", "benchmarks.fuzz", "--cases", "16", "--seed", "1"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "16 cases, seed 1, from 0: 0 faults" in done.stdout


@pytest.mark.parametrize("way", [*mutations.OF_BYTES, *mutations.OF_JSON])
def test_a_damaged_file_is_another_file(way: mutations.Way) -> None:
    content = json.dumps({"a": [1, 2.5, {"b": "text"}], "c": None}).encode()
    drawn = [way(content, Random(seed)) for seed in range(20)]
    assert sum(one != content for one in drawn) > 10
    assert drawn == [way(content, Random(seed)) for seed in range(20)]


def test_a_damaged_header_of_png_has_the_checksums_of_what_it_says() -> None:
    buffer = BytesIO()
    Image.new("RGB", (5, 4)).save(buffer, "PNG")
    drawn = {mutations.extreme(buffer.getvalue(), Random(seed)) for seed in range(60)}
    headers = {one[16:29] for one in drawn if one[12:16] == b"IHDR" and one[29:33] == _checksum(one[12:29])}
    assert len(headers) > 5


def _checksum(content: bytes) -> bytes:
    return zlib.crc32(content).to_bytes(4, "big")


def test_a_damaged_export_has_another_card_or_another_graph() -> None:
    card = json.dumps({"name": "a", "image_size": 64})
    content = b"graph" * 50 + entry(KEY, card)
    drawn = [mutations.in_onnx(content, Random(seed)) for seed in range(40)]
    kept = [one.endswith(entry(KEY, card)) for one in drawn], [one.startswith(b"graph" * 50) for one in drawn]
    assert all(graph or same for same, graph in zip(*kept, strict=True))
    assert all(5 < sum(one) < 40 for one in kept)


def test_a_damaged_form_is_mostly_another_form() -> None:
    content = form({"maps": "png"}, [("images", "a.png", b"content")])
    drawn = [mutations.in_form(content, Random(seed)) for seed in range(40)]
    assert sum(one != content for one in drawn) > 30
    assert any(one.count(b"--b\r\n") > 100 for one in drawn)

"""The same prompts under the same weights are encoded once, and nothing that can go wrong on disk is an error."""

import os
import threading
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from tests.small import CONFIG, build, frozen
from zsad import files as whole_files
from zsad.backbones import clip as clip_module
from zsad.backbones import prompt_cache
from zsad.backbones.clip import Clip
from zsad.errors import ConfigError

PROMPTS = ("a photo of a nut", "a photo of a damaged nut")


class EncodedError(Exception):
    """The text tower was run."""


def deaf(clip: Clip) -> Clip:
    """The same Clip with a text tower that must not be run."""

    def refuse(*arguments: object, **options: object) -> None:
        raise EncodedError

    clip.text.register_forward_pre_hook(refuse)
    return clip


def files() -> list[Path]:
    folder = prompt_cache.cache_dir()
    return sorted(path for path in folder.rglob("*") if path.is_file())


def assert_not_shared(clip: Clip, prompts: Sequence[str] = PROMPTS) -> None:
    with pytest.raises(EncodedError):
        deaf(clip).encode_prompts(prompts)


def test_a_second_clip_reads_what_the_first_encoded() -> None:
    first = frozen().encode_prompts(PROMPTS)
    torch.testing.assert_close(deaf(frozen()).encode_prompts(PROMPTS), first, rtol=0, atol=0)


def test_one_clip_encodes_once() -> None:
    clip = frozen()
    first = clip.encode_prompts(PROMPTS)
    (kept,) = files()
    kept.unlink()
    torch.testing.assert_close(deaf(clip).encode_prompts(PROMPTS), first, rtol=0, atol=0)


@pytest.mark.parametrize(
    "other",
    [
        lambda: frozen(seed=1),
        lambda: frozen(replace(CONFIG, activation="gelu")),
        lambda: frozen().to(torch.bfloat16),
    ],
    ids=["weights", "activation", "precision"],
)
def test_other_weights_do_not_share(other: object) -> None:
    frozen().encode_prompts(PROMPTS)
    assert_not_shared(other())


@pytest.mark.parametrize("others", [PROMPTS[::-1], PROMPTS[:1], (*PROMPTS, "more"), ("".join(PROMPTS),)])
def test_other_prompts_do_not_share(others: tuple[str, ...]) -> None:
    frozen().encode_prompts(PROMPTS)
    assert_not_shared(frozen(), others)


def test_a_clip_that_changes_its_precision_encodes_again() -> None:
    clip = frozen()
    assert clip.encode_prompts(PROMPTS).dtype == torch.float32
    assert clip.to(torch.bfloat16).encode_prompts(PROMPTS).dtype == torch.bfloat16
    assert clip.to(torch.float32).encode_prompts(PROMPTS).dtype == torch.float32


@pytest.mark.parametrize(
    "damage", [b"", b"\x00" * 100, b"not safetensors", None], ids=["empty", "zeros", "text", "cut"]
)
def test_a_damaged_file_is_encoded_again_and_mended(damage: bytes | None) -> None:
    first = frozen().encode_prompts(PROMPTS)
    (kept,) = files()
    whole = kept.read_bytes()
    kept.write_bytes(whole[:-5] if damage is None else damage)
    torch.testing.assert_close(frozen().encode_prompts(PROMPTS), first, rtol=0, atol=0)
    assert kept.read_bytes() == whole


def test_a_flipped_bit_anywhere_is_encoded_again() -> None:
    first = frozen().encode_prompts(PROMPTS)
    (kept,) = files()
    whole = kept.read_bytes()
    for place in range(0, len(whole), 13):
        kept.write_bytes(whole[:place] + bytes([whole[place] ^ 0x40]) + whole[place + 1 :])
        torch.testing.assert_close(frozen().encode_prompts(PROMPTS), first, rtol=0, atol=0)
        assert kept.read_bytes() == whole


def test_an_entry_of_other_weights_does_not_count() -> None:
    """Also where its name is that of what is asked for."""
    first = frozen().encode_prompts(PROMPTS)
    (kept,) = files()
    frozen(seed=1).encode_prompts(PROMPTS)
    (other,) = set(files()) - {kept}
    kept.write_bytes(other.read_bytes())
    torch.testing.assert_close(frozen().encode_prompts(PROMPTS), first, rtol=0, atol=0)


@pytest.mark.parametrize(
    "features",
    [
        torch.ones(2, 3),
        torch.ones(2, CONFIG.embed).half(),
        torch.full((2, CONFIG.embed), torch.nan),
        torch.ones(999, 9),
    ],
    ids=["shape", "type", "nan", "size"],
)
def test_an_entry_of_another_shape_or_type_or_that_is_not_finite_does_not_count(features: torch.Tensor) -> None:
    first = frozen().encode_prompts(PROMPTS)
    (kept,) = files()
    prompt_cache.write(kept.stem, features)
    torch.testing.assert_close(frozen().encode_prompts(PROMPTS), first, rtol=0, atol=0)


def test_what_was_not_used_for_longest_makes_room(monkeypatch: pytest.MonkeyPatch) -> None:
    names = [f"{number:064}" for number in range(6)]
    features = torch.ones(1000, CONFIG.embed)
    room = 3.5 * features.numel() * features.itemsize
    monkeypatch.setenv("ZSAD_PROMPT_CACHE_GB", str(room / 1e9))
    for age, name in enumerate(names[:3]):
        prompt_cache.write(name, features)
        os.utime(prompt_cache.cache_dir() / "prompts" / f"{name}.safetensors", (age + 1e9, age + 1e9))
    assert prompt_cache.read(names[0], (1000, CONFIG.embed), torch.float32) is not None
    prompt_cache.write(names[3], features)
    assert [path.stem for path in files()] == [names[0], names[2], names[3]]


def test_a_leftover_of_a_killed_process_makes_room() -> None:
    folder = prompt_cache.cache_dir() / "prompts"
    frozen().encode_prompts(PROMPTS)
    for name, age in (("old", 7200), ("new", 60)):
        (folder / f".{name}.tmp").write_bytes(b"x")
        os.utime(folder / f".{name}.tmp", (time.time() - age,) * 2)
    frozen().encode_prompts(PROMPTS[:1])
    assert [path.name for path in files() if path.name.endswith(".tmp")] == [".new.tmp"]


def test_a_cache_without_room_keeps_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ZSAD_PROMPT_CACHE_GB", "0")
    assert frozen().encode_prompts(PROMPTS).shape == (2, CONFIG.embed)
    assert files() == []


@pytest.mark.parametrize("room", ["much", "-1", "nan", "inf", "1e400"])
def test_room_that_is_no_number_is_refused(room: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ZSAD_PROMPT_CACHE_GB", room)
    with pytest.raises(ConfigError, match="ZSAD_PROMPT_CACHE_GB is a number of gigabytes"):
        frozen().encode_prompts(PROMPTS)


def test_threads_that_make_room_at_once_do_not_meet(tmp_path: Path) -> None:
    """Each removes what the others are about to."""
    errors = []

    def trim() -> None:
        try:
            for number in range(50):
                (tmp_path / f"{number}-{threading.get_ident()}").write_bytes(b"x" * 10)
                prompt_cache.trim(tmp_path, 20)
        except OSError as error:
            errors.append(error)

    threads = [threading.Thread(target=trim) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    prompt_cache.trim(tmp_path, 20)
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) <= 20


def test_memory_keeps_the_latest_prompts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clip_module, "KEPT", 2)
    clip = frozen()
    for name in "abc":
        clip.encode_prompts([name])
    for path in files():
        path.unlink()
    deaf(clip)
    clip.encode_prompts(["b"])
    with pytest.raises(EncodedError):
        clip.encode_prompts(["a"])


def test_a_cache_that_cannot_be_written_is_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # A file where the folder should be: unlike missing permissions, this stops even root.
    (tmp_path / "file").write_bytes(b"")
    monkeypatch.setenv("ZSAD_CACHE", str(tmp_path / "file" / "cache"))
    assert frozen().encode_prompts(PROMPTS).shape == (2, CONFIG.embed)
    assert_not_shared(frozen())


@pytest.mark.parametrize("step", ["write_bytes", "replace"])
def test_a_write_that_fails_leaves_nothing_behind(step: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*arguments: object) -> None:
        raise OSError("no space left on device")

    with monkeypatch.context() as patch:
        if step == "replace":
            patch.setattr(whole_files.os, "replace", full)
        else:
            whole = Path.write_bytes
            patch.setattr(Path, "write_bytes", lambda self, content: (whole(self, content[:10]), full()))
        assert frozen().encode_prompts(PROMPTS).shape == (2, CONFIG.embed)
    assert files() == []


def test_a_write_leaves_one_file_and_readers_see_the_old_content_until_it_is_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target, seen = tmp_path / "file", []
    target.write_bytes(b"old")
    replace_file = whole_files.os.replace

    def watch(partial: Path, path: Path) -> None:
        seen.append((partial.read_bytes(), path.read_bytes()))
        replace_file(partial, path)

    monkeypatch.setattr(whole_files.os, "replace", watch)
    whole_files.write_atomically(target, b"new")
    assert seen == [(b"new", b"old")]
    assert target.read_bytes() == b"new"
    assert list(tmp_path.iterdir()) == [target]


def test_threads_that_write_one_file_do_not_meet(tmp_path: Path) -> None:
    errors = []

    def write(content: bytes) -> None:
        try:
            for _ in range(50):
                whole_files.write_atomically(tmp_path / "file", content)
        except OSError as error:
            errors.append(error)

    threads = [threading.Thread(target=write, args=(bytes([n]) * 1000,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert len(set((tmp_path / "file").read_bytes())) == 1
    assert len(list(tmp_path.iterdir())) == 1


def test_a_clip_whose_weights_can_change_neither_reads_nor_writes() -> None:
    clip = build()
    before = clip.encode_prompts(PROMPTS)
    with torch.no_grad():
        clip.text.projection.mul_(2)
    torch.testing.assert_close(clip.encode_prompts(PROMPTS), 2 * before)
    assert files() == []


def test_features_made_in_inference_mode_can_be_trained_on() -> None:
    for _ in ("encoded", "read from disk"):
        clip = frozen()
        with torch.inference_mode():
            clip.encode_prompts(PROMPTS)
        weight = torch.ones(CONFIG.embed, requires_grad=True)
        (clip.encode_prompts(PROMPTS) * weight).sum().backward()
        assert weight.grad is not None


def test_text_that_is_not_valid_unicode_is_encoded() -> None:
    assert frozen().encode_prompts(["nut \udcff"]).shape == (1, CONFIG.embed)


def test_no_prompts_give_no_features() -> None:
    assert frozen().encode_prompts([]).shape == (0, CONFIG.embed)


def test_the_cache_is_where_the_environment_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ZSAD_CACHE", "/a")
    monkeypatch.setenv("XDG_CACHE_HOME", "/b")
    monkeypatch.setenv("HOME", "/c")
    assert prompt_cache.cache_dir() == Path("/a")
    monkeypatch.delenv("ZSAD_CACHE")
    assert prompt_cache.cache_dir() == Path("/b/zsad")
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert prompt_cache.cache_dir() == Path("/c/.cache/zsad")


def test_what_training_in_half_precision_asks_for_is_kept_exact() -> None:
    with torch.autocast("cpu", torch.bfloat16):
        asked = frozen().encode_prompts(PROMPTS)
    torch.testing.assert_close(asked, build().encode_prompts(PROMPTS), rtol=0, atol=0)

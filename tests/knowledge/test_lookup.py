"""Reading, merging and finding what is known."""

import hashlib
import json
from pathlib import Path

import pytest

from zsad.errors import ConfigError, InputError
from zsad.knowledge import ClassKnowledge, Knowledge, image_key

LLM = tuple(f"An abnormal image of a gear may show fault {number}." for number in range(5))
GEAR = {"background": "A gear has even teeth.", "llm": list(LLM)}
KEY = hashlib.sha256(b"an image").hexdigest()


def written(path: Path, values: object) -> Path:
    path.write_text(values if isinstance(values, str) else json.dumps(values), encoding="utf-8")
    return path


def known(tmp_path: Path, **changes: object) -> Knowledge:
    return Knowledge.read(written(tmp_path / "knowledge.json", {"spur_gear": GEAR | changes}))


def test_a_file_is_read_and_written_again(tmp_path: Path) -> None:
    first = known(tmp_path, vqa={KEY: ["A tooth is missing at the top."]}, aliases=["cog wheel"])
    entry = first.lookup("Spur-Gear")
    assert entry == ClassKnowledge("A gear has even teeth.", LLM, {KEY: ("A tooth is missing at the top.",)})
    assert first.lookup("cog_wheel") is entry
    assert first.classes == ("spur_gear",)
    first.write(tmp_path / "deep" / "again.json")
    again = Knowledge.read(tmp_path / "deep" / "again.json")
    assert again == first
    assert again.fingerprint == first.fingerprint
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["again.json"]


def test_what_ships_can_be_written_and_read(tmp_path: Path) -> None:
    Knowledge.shipped().write(tmp_path / "all.json")
    assert Knowledge.read(tmp_path / "all.json") == Knowledge.shipped()
    assert Knowledge.read(tmp_path / "all.json").fingerprint == Knowledge.shipped().fingerprint


def test_descriptions_are_those_of_the_class_and_of_the_image(tmp_path: Path) -> None:
    image, other = tmp_path / "a.png", tmp_path / "b.png"
    image.write_bytes(b"an image")
    other.write_bytes(b"another")
    assert image_key(image) == KEY
    base = known(tmp_path, vqa={KEY: ["A tooth is missing at the top."]})
    assert base.descriptions("spur gear") == LLM
    assert base.descriptions("spur gear", other) == LLM
    assert base.descriptions("spur gear", image) == (*LLM, "A tooth is missing at the top.")
    renamed = image.rename(tmp_path / "c.jpg")
    assert len(base.descriptions("spur gear", renamed)) == 6


def test_an_unknown_class_is_refused_with_the_nearest_and_the_command_that_helps(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"'spur gaer'.*'spur gear'.*zsad knowledge build --classes 'spur gaer'"):
        known(tmp_path).lookup("spur gaer")
    with pytest.raises(ConfigError, match=r"'zzz'. Remedy: extend it: zsad knowledge build --classes 'zzz'"):
        known(tmp_path).descriptions("zzz")


def test_the_other_wins_and_extends(tmp_path: Path) -> None:
    first = known(tmp_path, vqa={KEY: ["Old."], "0" * 64: ["Kept."]}, aliases=["cog"])
    other = ClassKnowledge("New background.", tuple(f"New {number}." for number in range(5)), {KEY: ("New.",)})
    both = first.merged(Knowledge({"Spur gear": other, "rack": other}, {"Spur gear": ("pinion",)}))
    assert both.classes == ("spur_gear", "rack")
    assert both.lookup("cog") is both.lookup("pinion") is both.lookup("spur gear")
    assert both.lookup("cog") == ClassKnowledge(other.background, other.llm, {KEY: ("New.",), "0" * 64: ("Kept.",)})
    assert first.lookup("cog").background == "A gear has even teeth."


def test_a_class_of_a_user_replaces_the_shipped_one_and_keeps_its_other_names(tmp_path: Path) -> None:
    other = ClassKnowledge("B.", tuple(f"New {number}." for number in range(5)))
    both = Knowledge.shipped().merged(Knowledge({"Metal Nut": other}, {}))
    assert both.lookup("metal_nut") == both.lookup("hex nut") == both.lookup("mvtec/metal nut") == other


def test_a_class_name_comes_before_an_alias(tmp_path: Path) -> None:
    values = {"rack": GEAR, "gear": GEAR | {"background": "Other.", "aliases": ["rack"]}}
    base = Knowledge.read(written(tmp_path / "two.json", values))
    assert base.named("rack") == ("rack", "gear")
    assert base.lookup("rack").background == "A gear has even teeth."


def test_a_class_named_as_an_alias_of_another_does_not_replace_that(tmp_path: Path) -> None:
    other = ClassKnowledge("B.", tuple(f"New {number}." for number in range(5)))
    both = Knowledge.shipped().merged(Knowledge({"hex nut": other}, {}))
    assert both.lookup("hex nut") == other
    assert both.lookup("metal nut") == Knowledge.shipped().lookup("metal nut")


def test_the_fingerprint_tells_what_is_known_apart(tmp_path: Path) -> None:
    prints = {
        known(tmp_path, **changes).fingerprint
        for changes in ({}, {"background": "Other."}, {"aliases": ["cog"]}, {"vqa": {KEY: ["A."]}})
    }
    assert len(prints) == 4
    rack = {"rack": GEAR, "spur_gear": GEAR}
    one = Knowledge.read(written(tmp_path / "a.json", rack))
    two = Knowledge.read(written(tmp_path / "b.json", dict(reversed(rack.items()))))
    assert one.fingerprint == two.fingerprint


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"llm": list(LLM[:4])}, "5 descriptions under 'llm'; got 4"),
        ({"llm": [*LLM, "One more."]}, "got 6"),
        ({"llm": [*LLM[:4], "  "]}, "no sentence of llm and background is empty"),
        ({"background": ""}, "no sentence of llm and background is empty"),
        ({"llm": [*LLM[:4], LLM[0].upper()]}, "is there once"),
        ({"background": LLM[0]}, "is there once"),
        ({"llm": "one text"}, "llm must be"),
        ({"llm": [*LLM[:4], 5]}, "must be str; got 5"),
        ({"lm": []}, "did you mean 'llm'"),
        ({"aliases": "cog"}, "aliases must be"),
        ({"vqa": {"a.png": ["A."]}}, "named by the SHA-256 of its file; got 'a.png'"),
        ({"vqa": {KEY: []}}, "at least one description"),
        ({"vqa": {KEY: ["A.", "a"]}}, "is there once"),
        ({"vqa": {KEY: [""]}}, "is empty"),
    ],
)
def test_an_entry_that_is_not_whole_is_refused_by_name(
    changes: dict[str, object], message: str, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        known(tmp_path, **changes)
    assert "knowledge.json, spur_gear" in str(caught.value)


@pytest.mark.parametrize(
    ("content", "error", "message"),
    [
        ("{", InputError, "must be a JSON object of classes; got line 1, column 2"),
        ("[]", InputError, "must be a JSON object of classes; got an array instead of an object"),
        ('{"gear": 5}', ConfigError, "gear must be an object"),
        ('{"gear": {"llm": []}}', ConfigError, "needs the key 'background'"),
        ('{"a_b": {}, "A b": {}}', ConfigError, "every name is there once and not empty; got 'a b'"),
        ('{" ": {}}', ConfigError, "not empty"),
        ('{"gear": {"background": "A.", "background": "B."}}', InputError, "the key 'background' twice"),
    ],
)
def test_a_file_that_is_no_knowledge_is_refused(
    content: str, error: type[Exception], message: str, tmp_path: Path
) -> None:
    with pytest.raises(error, match=message):
        Knowledge.read(written(tmp_path / "bad.json", content))


@pytest.mark.parametrize("content", [None, b"\xff\xfe\x00"])
def test_a_file_that_cannot_be_read_is_named(content: bytes | None, tmp_path: Path) -> None:
    path = tmp_path / "bad.json"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError, match=r"must be readable; got|0xff|UTF-16"):
        Knowledge.read(path)

"""``zsad knowledge show`` and ``zsad knowledge list``."""

from pathlib import Path

import pytest

from zsad.cli.main import main
from zsad.knowledge import ClassKnowledge, Knowledge


@pytest.fixture(autouse=True)
def _narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """A knowledge file of a user, with a class of theirs and another tile."""
    llm = tuple(f"An abnormal image of a gear may show fault {number}." for number in range(5))
    gear = ClassKnowledge("A gear has teeth.", llm, {"ab" * 32: ("A tooth is missing.",)})
    Knowledge({"spur gear": gear, "tile": gear}, {"spur gear": ("cog",)}).write(tmp_path / "own.json")
    return tmp_path / "own.json"


def words(text: str) -> str:
    return " ".join(text.split())


@pytest.mark.parametrize("name", ["metal_nut", "Metal Nut", "mvtec/metal-nut", "hex nut"])
def test_an_entry_is_printed_at_80_columns(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["knowledge", "show", name]) == 0
    text = capsys.readouterr().out
    assert max(map(len, text.splitlines())) <= 80
    assert text.startswith("class           mvtec/metal_nut\nalso called     hex nut\nnormal ")
    entry = Knowledge.shipped().lookup("metal nut")
    for sentence in (*entry.llm, entry.background):
        assert sentence in words(text)


def test_classes_of_the_same_name_are_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["knowledge", "show", "tile"]) == 0
    assert "same name       mtd/tile\n" in capsys.readouterr().out


def test_an_own_file_is_shown_over_what_ships(own: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("cog", "tile"):
        assert main(["knowledge", "show", name, "--file", str(own)]) == 0
        text = capsys.readouterr().out
        assert "fault 4" in text
        assert "image abababa   A tooth is missing.\n" in text
    assert main(["knowledge", "show", "bottle", "--file", str(own)]) == 0


def test_an_unknown_class_is_one_line_that_says_what_to_do(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["knowledge", "show", "bottel"]) == 2
    error = capsys.readouterr().err
    assert "use 'bottle' if that is meant, or extend it: zsad knowledge build --classes 'bottel'" in error
    assert error.count("\n") == 1


def test_the_list_has_every_class_under_its_data_set(own: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["knowledge", "list", "--file", str(own)]) == 0
    text = capsys.readouterr().out
    assert max(map(len, text.splitlines())) <= 80
    assert "(yours)         spur gear\n" in text
    named = {name.strip() for line in text.splitlines() for name in line[16:].split(",")} - {""}
    assert {key.rpartition("/")[2] for key in Knowledge.shipped().classes} | {"spur gear"} == named


def test_a_part_must_be_named(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["knowledge"])
    assert "PART" in capsys.readouterr().err

"""Which files are meant by what a user names."""

import os
from pathlib import Path

import pytest

from zsad.data.sources import find_pictures, pictures_in
from zsad.errors import InputError


def make(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"")


def found(root: Path, *arguments: str) -> list[str]:
    return [str(path.relative_to(root)) for path in find_pictures([root / argument for argument in arguments])]


def test_a_folder_at_every_depth_in_natural_order(tmp_path: Path) -> None:
    make(tmp_path, "part10.png", "part2.png", "Part1.PNG", "b/x.jpg", "a/deep/y.tif", "b10/z.bmp", "b9/z.bmp")
    expected = ["a/deep/y.tif", "b/x.jpg", "b9/z.bmp", "b10/z.bmp", "Part1.PNG", "part2.png", "part10.png"]
    assert found(tmp_path, ".") == expected


def test_names_that_natural_order_could_stumble_over(tmp_path: Path) -> None:
    make(tmp_path, "a.png", "A.png", "1.png", "01.png", "a1b.png", "a1.png", "²٣.png", "٣.png")
    assert sorted(found(tmp_path, ".")) == sorted(os.listdir(tmp_path))
    assert found(tmp_path, ".")[:2] == ["01.png", "1.png"]


def test_only_pictures_and_nothing_hidden(tmp_path: Path) -> None:
    make(tmp_path, "a.png", "a.txt", "b.DCM", ".c.png", ".git/d.png", "e", "Thumbs.db", "._f.jpg")
    assert found(tmp_path, ".") == ["a.png", "b.DCM"]


def test_a_hidden_folder_that_is_named_is_searched(tmp_path: Path) -> None:
    make(tmp_path, ".cache/a.png")
    assert found(tmp_path, ".cache") == [".cache/a.png"]


def test_a_named_file_is_kept_whatever_its_suffix(tmp_path: Path) -> None:
    make(tmp_path, "picture", ".hidden.txt", "odd[1].png")
    assert found(tmp_path, "picture", ".hidden.txt", "odd[1].png") == ["picture", ".hidden.txt", "odd[1].png"]


def test_arguments_keep_their_order_and_a_file_counts_once(tmp_path: Path) -> None:
    make(tmp_path, "b/1.png", "b/2.png", "a/1.png")
    assert found(tmp_path, "b/2.png", "b", "a", "b/../a/1.png") == ["b/2.png", "b/1.png", "a/1.png"]


def test_one_path_alone(tmp_path: Path) -> None:
    make(tmp_path, "a.png")
    assert find_pictures(str(tmp_path)) == [tmp_path / "a.png"]
    assert find_pictures([]) == []


def test_patterns(tmp_path: Path) -> None:
    make(tmp_path, "a/1.png", "a/2.jpg", "a/n.txt", "b/3.png", "b/c/4.png", "a/.5.png", ".d/6.png")
    assert found(tmp_path, "*/*.png") == ["a/1.png", "b/3.png"]
    assert found(tmp_path, "**/*.png") == ["a/1.png", "b/3.png", "b/c/4.png"]
    assert found(tmp_path, "a/*") == ["a/1.png", "a/2.jpg"]
    assert found(tmp_path, "a/[12].???") == ["a/1.png", "a/2.jpg"]
    assert found(tmp_path, "*") == ["a/1.png", "a/2.jpg", "b/3.png", "b/c/4.png"]
    assert found(tmp_path, ".d/*") == [".d/6.png"]


def test_patterns_from_the_working_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make(tmp_path, "a10.png", "a9.png")
    monkeypatch.chdir(tmp_path)
    assert find_pictures(["*.png"]) == [Path("a9.png"), Path("a10.png")]


def test_loops_of_links_end(tmp_path: Path) -> None:
    make(tmp_path, "a/1.png", "b/2.png")
    (tmp_path / "a/back").symlink_to(tmp_path, target_is_directory=True)
    (tmp_path / "b/again").symlink_to(tmp_path / "b", target_is_directory=True)
    assert [path.name for path in find_pictures([tmp_path])] == ["1.png", "2.png"]
    assert [path.name for path in find_pictures([tmp_path / "**/*.png"])] == ["1.png", "2.png"]


def test_links_are_followed_and_count_as_their_file(tmp_path: Path) -> None:
    make(tmp_path, "real/1.png", "set/2.png")
    (tmp_path / "set/linked").symlink_to(tmp_path / "real", target_is_directory=True)
    (tmp_path / "set/3.png").symlink_to(tmp_path / "set/2.png")
    assert found(tmp_path, "set") == ["set/2.png", "set/linked/1.png"]


def test_broken_links_are_left_for_the_decoder_to_name(tmp_path: Path) -> None:
    (tmp_path / "gone.png").symlink_to(tmp_path / "nowhere.png")
    assert found(tmp_path, ".") == ["gone.png"]


@pytest.mark.parametrize(
    ("argument", "rule"),
    [
        ("missing.png", "a path to pictures must exist"),
        ("*.tif", "a pattern must match a picture"),
        ("nowhere/**/*.png", "a pattern must match a picture"),
        ("no_pictures/*", "a pattern must match a picture"),
        ("no_pictures", "a folder must contain a picture"),
        ("**x/*.png", "a pattern must"),
        ("part\0.png", "a path to pictures must exist"),
        ("x" * 300, "a path to pictures must exist"),
    ],
)
def test_what_yields_nothing_is_named(tmp_path: Path, argument: str, rule: str) -> None:
    make(tmp_path, "no_pictures/readme.txt", "good/1.png")
    with pytest.raises(InputError) as caught:
        find_pictures([tmp_path / "good", tmp_path / argument])
    assert caught.value.rule.startswith(rule)
    assert argument in caught.value.value


def test_folders_that_cannot_be_read_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rather than skipped, as if their pictures had been looked at."""
    make(tmp_path, "a/1.png", "locked/2.png")
    scan = os.scandir

    def denied(path: str) -> object:
        if Path(path).name == "locked":
            raise PermissionError(13, "Permission denied", path)
        return scan(path)

    monkeypatch.setattr(os, "scandir", denied)
    with pytest.raises(InputError, match=r"must be readable; got .*locked"):
        find_pictures([tmp_path])


def test_a_folder_may_be_empty_where_that_is_asked_for(tmp_path: Path) -> None:
    assert pictures_in(tmp_path) == []

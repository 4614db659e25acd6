"""Which files are meant by what a user names."""

import os
import re
import socket
from pathlib import Path

import pytest

from zsad.data.sources import find_images, images_in, scan
from zsad.errors import InputError


def make(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"")


def found(root: Path, *arguments: str) -> list[str]:
    return [str(path.relative_to(root)) for path in find_images([root / argument for argument in arguments])]


def test_a_folder_at_every_depth_in_natural_order(tmp_path: Path) -> None:
    make(tmp_path, "part10.png", "part2.png", "Part1.PNG", "b/x.jpg", "a/deep/y.tif", "b10/z.bmp", "b9/z.bmp")
    expected = ["a/deep/y.tif", "b/x.jpg", "b9/z.bmp", "b10/z.bmp", "Part1.PNG", "part2.png", "part10.png"]
    assert found(tmp_path, ".") == expected


def test_names_that_natural_order_could_stumble_over(tmp_path: Path) -> None:
    make(tmp_path, "a.png", "A.png", "1.png", "01.png", "a1b.png", "a1.png", "²٣.png", "٣.png")
    assert sorted(found(tmp_path, ".")) == sorted(os.listdir(tmp_path))
    assert found(tmp_path, ".")[:2] == ["01.png", "1.png"]


def test_only_images_and_nothing_hidden(tmp_path: Path) -> None:
    make(tmp_path, "a.png", "a.txt", "b.DCM", ".c.png", ".git/d.png", "e", "Thumbs.db", "._f.jpg")
    assert found(tmp_path, ".") == ["a.png", "b.DCM"]


def test_a_hidden_folder_that_is_named_is_searched(tmp_path: Path) -> None:
    make(tmp_path, ".cache/a.png")
    assert found(tmp_path, ".cache") == [".cache/a.png"]


def test_a_named_file_is_kept_whatever_its_suffix(tmp_path: Path) -> None:
    make(tmp_path, "image", ".hidden.txt", "odd[1].png")
    assert found(tmp_path, "image", ".hidden.txt", "odd[1].png") == ["image", ".hidden.txt", "odd[1].png"]


def test_arguments_keep_their_order_and_a_file_counts_once(tmp_path: Path) -> None:
    make(tmp_path, "b/1.png", "b/2.png", "a/1.png")
    assert found(tmp_path, "b/2.png", "b", "a", "b/../a/1.png") == ["b/2.png", "b/1.png", "a/1.png"]


def test_one_path_alone(tmp_path: Path) -> None:
    make(tmp_path, "a.png")
    assert find_images(str(tmp_path)) == [tmp_path / "a.png"]
    assert find_images([]) == []


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
    assert find_images(["*.png"]) == [Path("a9.png"), Path("a10.png")]


def test_loops_of_links_end(tmp_path: Path) -> None:
    make(tmp_path, "a/1.png", "b/2.png")
    (tmp_path / "a/back").symlink_to(tmp_path, target_is_directory=True)
    (tmp_path / "b/again").symlink_to(tmp_path / "b", target_is_directory=True)
    assert [path.name for path in find_images([tmp_path])] == ["1.png", "2.png"]
    assert [path.name for path in find_images([tmp_path / "**/*.png"])] == ["1.png", "2.png"]


def test_links_are_followed_and_count_as_their_file(tmp_path: Path) -> None:
    make(tmp_path, "real/1.png", "set/2.png")
    (tmp_path / "set/linked").symlink_to(tmp_path / "real", target_is_directory=True)
    (tmp_path / "set/3.png").symlink_to(tmp_path / "set/2.png")
    assert found(tmp_path, "set") == ["set/2.png", "set/linked/1.png"]


def test_broken_links_are_named_and_left_for_the_decoder_in_data_sets(tmp_path: Path) -> None:
    make(tmp_path, "here.png")
    (tmp_path / "gone.png").symlink_to(tmp_path / "nowhere.png")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    found = scan([tmp_path])
    assert [path.name for path in found.images] == ["here.png"]
    assert [Path(one.source).name for one in found.skipped_files] == ["gone.png", "loop"]
    assert f"a link to {tmp_path / 'nowhere.png'}, which is not there" in found.skipped_files[0].message
    assert [path.name for path in images_in(tmp_path)] == ["gone.png", "here.png"]


@pytest.mark.parametrize(
    ("argument", "rule"),
    [
        ("missing.png", "a path to images must exist"),
        ("*.tif", "a pattern must match an image"),
        ("nowhere/**/*.png", "a pattern must match an image"),
        ("no_images/*", "a pattern must match an image"),
        ("no_images", "a folder must contain an image"),
        ("**x/*.png", "a pattern must"),
        ("part\0.png", "a path to images must exist"),
        ("x" * 300, "a path to images must exist"),
    ],
)
def test_what_yields_nothing_is_named(tmp_path: Path, argument: str, rule: str) -> None:
    make(tmp_path, "no_images/readme.txt", "good/1.png")
    with pytest.raises(InputError) as caught:
        find_images([tmp_path / "good", tmp_path / argument])
    assert caught.value.rule.startswith(rule)
    assert argument in caught.value.value


def test_folders_that_cannot_be_read_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rather than skipped, as if their images had been looked at."""
    make(tmp_path, "a/1.png", "locked/2.png")
    scandir = os.scandir

    def denied(path: str | int) -> object:
        if str(path) == str(tmp_path / "locked"):
            raise PermissionError(13, "Permission denied", path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", denied)
    found = scan([tmp_path])
    assert [path.name for path in found.images] == ["1.png"]
    assert [one.source for one in found.skipped_files] == [str(tmp_path / "locked")]
    assert "must be readable; got" in found.skipped_files[0].message
    assert "Permission denied" in found.skipped_files[0].message
    for refusing in (lambda: scan([tmp_path / "locked"]), lambda: images_in(tmp_path)):
        with pytest.raises(InputError, match=r"must be readable; got .*locked"):
            refusing()


def signed(root: Path, files: dict[str, bytes]) -> None:
    for name, content in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content)


HEADS = {
    "IMG_1.CR2": b"II*\0\x10\0\0\0CR\2\0",
    "IMG_2.dng": b"II*\0\x08\0\0\0",
    "brain.nii.gz": b"\x1f\x8b\x08\0",
    "brain.nii": b"\x5c\x01\0\0" + bytes(340) + b"n+1\0",
    "clip.MP4": b"\0\0\0\x18ftypmp42\0\0\0\0mp42",
    "video without suffix": b"\x1aE\xdf\xa3",
    "slide.ndpi": b"II*\0\x08\0\0\0",
    "drawing.svg": b"<svg xmlns=",
    "layers.psd": b"8BPS\0\1",
    "flow.exr": b"v/1\1",
    "scene.xyz": b"%PDF-1.7",
}


@pytest.mark.parametrize("name", HEADS)
def test_what_looks_like_an_image_and_is_not_read_is_left_out_with_its_reason(tmp_path: Path, name: str) -> None:
    signed(tmp_path, {name: HEADS[name], "part.png": b""})
    found = scan([tmp_path])
    assert [path.name for path in found.images] == ["part.png"]
    (left_out,) = found.skipped_files
    assert left_out.source == str(tmp_path / name)
    by_frames = name.startswith(("brain", "clip", "video"))
    rule = "is read frame by frame" if by_frames else "is not supported"
    assert re.search(rf" {rule}; got .*\. Remedy: ", left_out.message)
    assert [path.name for path in scan([tmp_path], with_series=True).images] == sorted(
        ["part.png", *([name] if by_frames else [])]
    )
    assert not found.other_files


def test_images_without_a_suffix_are_known_by_their_first_bytes(tmp_path: Path) -> None:
    """As radiology stores them; and what a text begins with is not looked at."""
    signed(
        tmp_path,
        {
            "IM0001": bytes(128) + b"DICM",
            "scan.00012": bytes(128) + b"DICM",
            "export": b"\x89PNG\r\n\x1a\n",
            "DICOMDIR": bytes(128) + b"DICM",
            "BMW.txt": b"BMW parts of this week",
            "LICENSE": b"Permission is hereby granted",
        },
    )
    found = scan([tmp_path])
    assert {path.name for path in found.images} == {"IM0001", "scan.00012", "export"}
    assert (found.skipped_files, dict(found.other_files)) == ([], {"": 2, ".txt": 1})
    assert found.describe_ignored() == "3 other files (2 without suffix, 1 .txt)"


def test_what_is_no_image_is_counted_and_leftovers_are_passed_over(tmp_path: Path) -> None:
    make(
        tmp_path,
        *("a.jpg", "a.xmp", "labels.json", "Thumbs.db", "report.pdf", ".DS_Store", "._a.jpg", "x/@eaDir/a.jpg/t.jpg"),
        *("__MACOSX/a.jpg", "#recycle/a.jpg", ".@__thumb/a.jpg", ".thumbnails/a.jpg", "$RECYCLE.BIN/a.jpg"),
    )
    found = scan([tmp_path])
    assert [path.name for path in found.images] == ["a.jpg"]
    assert found.skipped_files == []
    assert dict(found.other_files) == {".xmp": 1, ".json": 1, ".db": 1, ".pdf": 1}
    assert found.skipped_folders.total() == 6
    assert images_in(tmp_path) == [tmp_path / "a.jpg"]
    assert [path.name for path in scan([tmp_path / "x/@eaDir"]).images] == ["t.jpg"]  # where it is named


def test_pipes_sockets_and_devices_are_named_and_never_opened(tmp_path: Path) -> None:
    make(tmp_path, "a.png")
    os.mkfifo(tmp_path / "pipe.png")
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "null.png").symlink_to("/dev/null")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "socket"))
        found = scan([tmp_path])
    assert [path.name for path in found.images] == ["a.png"]
    reasons = {Path(one.source).name: one.message for one in found.skipped_files}
    assert set(reasons) == {"pipe.png", "pipe", "null.png", "socket"}
    for name, what in (("pipe", "a pipe"), ("pipe.png", "a pipe"), ("null.png", "a device"), ("socket", "a socket")):
        assert f"({what})" in reasons[name]
    assert scan([tmp_path / "*.png"]).skipped_files == [
        one for one in found.skipped_files if one.source.endswith(".png")
    ]


def test_a_folder_of_what_cannot_be_read_is_no_empty_folder(tmp_path: Path) -> None:
    signed(tmp_path, HEADS)
    assert len(scan([tmp_path]).skipped_files) == len(HEADS)
    with pytest.raises(InputError, match=rf"an image that can be read; got {len(HEADS)} files that cannot, such as"):
        find_images([tmp_path])


def test_a_folder_may_be_empty_where_that_is_asked_for(tmp_path: Path) -> None:
    assert images_in(tmp_path) == []

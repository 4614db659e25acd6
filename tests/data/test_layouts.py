"""Data-set layouts: which image shows what, read off the folders."""

import os
import sys
from pathlib import Path

import pytest

from zsad.data import layouts
from zsad.data.layouts import Layout, Sample
from zsad.errors import ConfigError, InputError
from zsad.testing import check_layout
from zsad.testing._layouts import check_without_data

TREE = (
    "bottle/train/good/000.png",
    "bottle/test/good/000.png",
    "bottle/test/broken_large/10.png",
    "bottle/test/broken_large/9.png",
    "bottle/test/contamination/000.jpg",
    "bottle/ground_truth/broken_large/9_mask.png",
    "bottle/ground_truth/broken_large/10.png",
    "cable/test/bent/000.png",
    "license.txt",
    "notes/readme.txt",
)


def make(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"")
    return root


def described(root: Path, sample: Sample) -> tuple[object, ...]:
    mask = sample.mask and str(sample.mask.relative_to(root))
    return str(sample.image.relative_to(root)), sample.label, sample.class_name, sample.kind, mask, sample.split


# --- what every layout must hold ---


@pytest.mark.parametrize("name", layouts.built_in())
def test_every_layout_says_what_it_is(name: str) -> None:
    layout = layouts.get(name)
    assert issubclass(layout, Layout)
    assert not getattr(layout, "__abstractmethods__", None)
    assert layout.title
    assert layout.about
    assert "\n" not in layout.about


@pytest.mark.parametrize("name", layouts.built_in())
def test_every_layout_keeps_its_promises(name: str) -> None:
    check_without_data(layouts.get(name))


@pytest.mark.parametrize("name", ["folder", "mvtec"])
def test_a_tree_of_a_layout_is_checked(tmp_path: Path, name: str) -> None:
    check_layout(layouts.get(name), make(tmp_path, *TREE))


@pytest.mark.parametrize("name", layouts.built_in())
@pytest.mark.parametrize("root", ["missing", "empty"])
def test_every_layout_names_a_root_it_cannot_read(tmp_path: Path, name: str, root: str) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=root):
        layouts.get(name).samples(tmp_path / root)


def test_names_are_the_files_of_the_folder() -> None:
    files = {path.stem for path in Path(layouts.__file__).parent.glob("[!_]*.py")}
    assert set(layouts.built_in()) == {stem.replace("_", "-") for stem in files}
    assert {"folder", "mvtec"} <= set(layouts.built_in())


def test_unknown_names_propose_the_nearest() -> None:
    for name in ("mvtek", "MVTEC", "_base", "os"):
        with pytest.raises(ConfigError, match="data set layout must be one of"):
            layouts.get(name)
    with pytest.raises(ConfigError, match="did you mean 'mvtec'"):
        layouts.get("mvtek")


def test_listing_needs_only_the_standard_library() -> None:
    source = (
        "import sys; from zsad.data import layouts; [layouts.get(name) for name in layouts.built_in()];"
        "sys.exit(bool({'torch', 'numpy', 'PIL'} & set(sys.modules)))"
    )
    assert os.spawnv(os.P_WAIT, sys.executable, [sys.executable, "-c", source]) == 0


# --- folder ---


def test_folder(tmp_path: Path) -> None:
    root = make(tmp_path / "screws", "10.png", "9.png", "sub/1.JPG", "readme.txt")
    found = [described(root, sample) for sample in layouts.get("folder").samples(root)]
    assert found == [(name, None, "screws", "unknown", None, "test") for name in ("9.png", "10.png", "sub/1.JPG")]


def test_folder_is_named_even_from_within(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(make(tmp_path / "screws", "1.png"))
    assert layouts.get("folder").samples(Path("."))[0].class_name == "screws"


# --- mvtec ---

BOTTLE = [
    ("bottle/train/good/000.png", 0, "bottle", "good", None, "train"),
    (
        *("bottle/test/broken_large/9.png", 1, "bottle", "broken_large"),
        *("bottle/ground_truth/broken_large/9_mask.png", "test"),
    ),
    (
        *("bottle/test/broken_large/10.png", 1, "bottle", "broken_large"),
        *("bottle/ground_truth/broken_large/10.png", "test"),
    ),
    ("bottle/test/contamination/000.jpg", 1, "bottle", "contamination", None, "test"),
    ("bottle/test/good/000.png", 0, "bottle", "good", None, "test"),
]
CABLE = [("cable/test/bent/000.png", 1, "cable", "bent", None, "test")]


def test_mvtec_of_a_data_set(tmp_path: Path) -> None:
    make(tmp_path, *TREE)
    found = [described(tmp_path, sample) for sample in layouts.get("mvtec").samples(tmp_path)]
    assert found == BOTTLE + CABLE


def test_mvtec_of_one_class(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make(tmp_path, *TREE)
    found = [described(tmp_path, sample) for sample in layouts.get("mvtec").samples(tmp_path / "bottle")]
    assert found == BOTTLE
    monkeypatch.chdir(tmp_path / "cable")
    assert layouts.get("mvtec").samples(Path("."))[0].class_name == "cable"


def test_mvtec_gives_normal_images_no_mask(tmp_path: Path) -> None:
    make(tmp_path, "bottle/test/good/0.png", "bottle/ground_truth/good/0.png")
    assert layouts.get("mvtec").samples(tmp_path)[0].mask is None


def test_mvtec_leaves_hidden_and_empty_folders_out(tmp_path: Path) -> None:
    make(tmp_path, "bottle/test/good/0.png", "bottle/test/.git/1.png", "bottle/test/empty/n.txt", ".x/test/good/2.png")
    found = [described(tmp_path, sample)[0] for sample in layouts.get("mvtec").samples(tmp_path)]
    assert found == ["bottle/test/good/0.png"]


def test_mvtec_says_what_is_missing(tmp_path: Path) -> None:
    make(tmp_path, "loose/1.png", "bottle/test/good/readme.txt")
    with pytest.raises(InputError, match="<class>/test/<kind>"):
        layouts.get("mvtec").samples(tmp_path / "loose")
    with pytest.raises(InputError, match="contain images"):
        layouts.get("mvtec").samples(tmp_path)


def test_an_image_is_known_by_its_path_below_the_root_or_its_whole_path(tmp_path: Path) -> None:
    inside = Sample(tmp_path / "a" / "b.png", 0, "nut", "good", None, "test")
    assert inside.source(tmp_path) == "a/b.png"
    assert inside.source(tmp_path / "elsewhere") == (tmp_path / "a" / "b.png").as_posix()


def test_the_image_of_a_sample_is_found_under_its_older_name_too(tmp_path: Path) -> None:
    sample = layouts.Sample(tmp_path / "a.png", 0, "nut", "good", None, "test")
    with pytest.warns(DeprecationWarning, match=r"use Sample\.image"):
        assert sample.picture == tmp_path / "a.png"

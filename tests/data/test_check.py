"""Checks of data sets: every kind of damage is found, with its files, and nothing else is."""

import shutil
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest
from PIL import Image

from tests.data.trees import image, mask, mvtec_tree
from zsad.data import layouts
from zsad.data.checking.check import Checked, RecordedTraining, check
from zsad.data.checking.inspection import SampleFacts
from zsad.data.layouts import PublishedCount
from zsad.errors import ConfigError, InputError
from zsad.files import content_hash

Said = list[tuple[str, str, list[tuple[str, str]]]]


def said(checked: Checked) -> Said:
    """Kind, severity and cases of all findings."""
    return [(one.kind, one.severity, [(case.subject, case.detail) for case in one.cases]) for one in checked.findings]


def cut(path: Path, lost: int = 300) -> None:
    path.write_bytes(path.read_bytes()[:-lost])


def copy(source: str, target: str) -> Callable[[Path], object]:
    """The same pixels; in another format, where the suffix says so."""
    return lambda root: Image.open(root / source).save(root / target)


# --- nothing to find ---


def test_a_clean_tree_gives_no_finding(tmp_path: Path) -> None:
    checked = check([f"mvtec:{mvtec_tree(tmp_path)}"])
    assert said(checked) == []
    assert not checked.has_errors
    (one,) = checked.data_sets
    assert [(c.class_name, c.train, c.normal, c.anomalous, c.unlabelled, c.masks) for c in one.classes] == [
        ("bolt", 2, 3, 3, 0, 3),
        ("nut", 2, 3, 3, 0, 3),
    ]


def test_the_number_of_threads_changes_nothing(tmp_path: Path) -> None:
    root = mvtec_tree(tmp_path)
    cut(root / "nut/test/good/1.png")
    cut(root / "bolt/test/bent/2.png")
    assert check([f"mvtec:{root}"], workers=0) == check([f"mvtec:{root}"], workers=5)


def test_every_image_is_followed(tmp_path: Path) -> None:
    counts = []

    def follow(facts: Iterable[SampleFacts], total: int) -> list[SampleFacts]:
        kept = list(facts)
        counts.append((len(kept), total))
        return kept

    check([f"mvtec:{mvtec_tree(tmp_path / 'a')}", f"mvtec:{mvtec_tree(tmp_path / 'b', ('cap',), 500)}"], follow=follow)
    assert counts == [(24, 24)]


# --- damage of one data set ---

DAMAGE: dict[str, tuple[Callable[[Path], object], Said]] = {
    "truncated image": (
        lambda root: cut(root / "nut/test/good/1.png"),
        [("unreadable", "error", [("nut/test/good/1.png", "image file is truncated")])],
    ),
    "empty image": (
        lambda root: (root / "nut/train/good/1.png").write_bytes(b""),
        [("unreadable", "error", [("nut/train/good/1.png", "it is empty")])],
    ),
    "text under the name of an image": (
        lambda root: (root / "nut/test/good/1.png").write_text("404 not found"),
        [("unreadable", "error", [("nut/test/good/1.png", "not an image of a known format")])],
    ),
    "truncated mask": (
        lambda root: cut(root / "nut/ground_truth/bent/1_mask.png", 26),
        [("unreadable", "error", [("nut/ground_truth/bent/1_mask.png", "image file is truncated")])],
    ),
    "text under the name of a mask": (
        lambda root: (root / "nut/ground_truth/bent/1_mask.png").write_text("404 not found"),
        [("unreadable", "error", [("nut/ground_truth/bent/1_mask.png", "not an image of a known format")])],
    ),
    "image without mask": (
        lambda root: (root / "nut/ground_truth/bent/1_mask.png").unlink(),
        [("missing-mask", "error", [("nut/test/bent/1.png", "")])],
    ),
    "mask without image": (
        lambda root: (root / "nut/test/bent/1.png").unlink(),
        [("orphan-mask", "warning", [("nut/ground_truth/bent/1_mask.png", "")])],
    ),
    "masks without the folder of their images": (
        lambda root: shutil.rmtree(root / "nut/test/bent"),
        [("orphan-mask", "warning", [(f"nut/ground_truth/bent/{index}_mask.png", "") for index in range(3)])],
    ),
    "mask of a kind that is not there, beside others": (
        lambda root: mask(root / "nut/ground_truth/worn/deep/1.png"),
        [("orphan-mask", "warning", [("nut/ground_truth/worn/deep/1.png", "")])],
    ),
    "mask of two images": (
        lambda root: image(root / "nut/test/bent/1.bmp", 999),
        [
            (
                "shared-mask",
                "error",
                [("nut/ground_truth/bent/1_mask.png", "nut/test/bent/1.bmp and nut/test/bent/1.png")],
            )
        ],
    ),
    "mask of another size": (
        lambda root: mask(root / "nut/ground_truth/bent/1_mask.png", (16, 12)),
        [("mask-size", "error", [("nut/ground_truth/bent/1_mask.png", "16×12 for 12×16 px")])],
    ),
    "empty mask": (
        lambda root: mask(root / "nut/ground_truth/bent/1_mask.png", values=(0,)),
        [("empty-mask", "warning", [("nut/ground_truth/bent/1_mask.png", "")])],
    ),
    "mask that marks everything": (
        lambda root: mask(root / "nut/ground_truth/bent/1_mask.png", values=(255,)),
        [("full-mask", "warning", [("nut/ground_truth/bent/1_mask.png", "")])],
    ),
    "grey mask": (
        lambda root: mask(root / "nut/ground_truth/bent/1_mask.png", values=(0, 9, 0, 255)),
        [("grey-mask", "warning", [("nut/ground_truth/bent/1_mask.png", "3 values, anomalous above 0")])],
    ),
    "image of unusual size": (
        lambda root: image(root / "nut/test/good/1.png", 11, (24, 32)),
        [("image-size", "note", [("nut/test/good/1.png", "24×32 px")])],
    ),
    "image three times": (
        lambda root: [copy("nut/test/good/1.png", f"nut/test/good/{name}")(root) for name in ("8.png", "9.png")],
        [("duplicate", "warning", [(f"nut/test/good/{name}.png", "= nut/test/good/1.png") for name in (8, 9)])],
    ),
    "image twice": (
        copy("nut/test/good/1.png", "nut/test/good/9.png"),
        [("duplicate", "warning", [("nut/test/good/9.png", "= nut/test/good/1.png")])],
    ),
    "image twice, in another format": (
        copy("nut/test/good/1.png", "nut/test/good/9.bmp"),
        [("duplicate", "warning", [("nut/test/good/9.bmp", "= nut/test/good/1.png (saved again)")])],
    ),
    "image in two classes": (
        copy("nut/test/good/1.png", "bolt/test/good/9.png"),
        [("duplicate", "warning", [("nut/test/good/1.png", "= bolt/test/good/9.png")])],
    ),
    "test image among those to train on": (
        copy("nut/test/good/1.png", "nut/train/good/9.png"),
        [("train-test-overlap", "error", [("nut/test/good/1.png", "= nut/train/good/9.png")])],
    ),
    "anomalous image among the normal ones": (
        copy("nut/test/bent/1.png", "nut/test/good/9.png"),
        [("conflicting-label", "error", [("nut/test/bent/1.png", "= nut/test/good/9.png")])],
    ),
    "anomalous image among those to train on": (
        copy("nut/test/bent/1.png", "nut/train/good/9.png"),
        [("conflicting-label", "error", [("nut/test/bent/1.png", "= nut/train/good/9.png")])],
    ),
}


def in_short(kind: str, detail: str) -> str:
    """Pillow says how many bytes are missing, and where."""
    return detail.partition(" (")[0].partition(" '")[0] if kind == "unreadable" else detail


@pytest.mark.parametrize("damage", DAMAGE)
def test_damage_is_found_with_its_files(damage: str, tmp_path: Path) -> None:
    root = mvtec_tree(tmp_path / "parts")
    harm, expected = DAMAGE[damage]
    harm(root)
    checked = check([f"mvtec:{root}"])
    found = [(kind, bad, [(name, in_short(kind, why)) for name, why in cases]) for kind, bad, cases in said(checked)]
    assert found == expected
    assert checked.has_errors == (expected[0][1] == "error")
    assert all(str(tmp_path) not in str(finding.cases) for finding in checked.findings)


def test_a_folder_of_another_layout_is_a_finding_and_the_rest_is_checked(tmp_path: Path) -> None:
    image(tmp_path / "loose" / "1.png", 1)
    good, bad = f"mvtec:{mvtec_tree(tmp_path / 'parts')}", f"mvtec:{tmp_path / 'loose'}"
    checked = check([bad, good])
    (finding,) = checked.findings
    assert (finding.kind, finding.severity, finding.data_sets) == ("layout", "error", (bad,))
    assert "<class>/test/<kind>" in finding.message
    assert [(one.name, len(one.classes)) for one in checked.data_sets] == [(bad, 0), ("parts", 2)]


def test_a_list_may_name_files_that_are_not_there(tmp_path: Path) -> None:
    image(tmp_path / "images/1.png", 1)
    (tmp_path / "labels.csv").write_text("images/1.png 0.0 mono\nimages/2.png 1.0 mono\n")
    checked = check([f"cells=elpv:{tmp_path}"])
    assert said(checked) == [("missing", "error", [("images/2.png", "")]), ("ignored-files", "note", [])]
    assert checked.findings[1].message == "no images: 1 other file (1 .csv)"


@pytest.mark.parametrize(
    ("specification", "error"), [("mvtec", ConfigError), ("mvtek:{}", ConfigError), ("mvtec:{}/nowhere", InputError)]
)
def test_what_is_no_data_set_at_all_is_refused(specification: str, error: type[Exception], tmp_path: Path) -> None:
    root = mvtec_tree(tmp_path / "parts")
    with pytest.raises(error):
        check([f"mvtec:{root}", specification.format(tmp_path)])


# --- published counts ---

COUNTS = {
    "screw": PublishedCount(normal=3, anomalous=3, train=2),
    "bottle": PublishedCount(normal=3, anomalous=3, train=2),
}


@pytest.fixture
def published(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data set that is as it was published."""
    monkeypatch.setattr(layouts.get("mvtec"), "counts", COUNTS)
    return mvtec_tree(tmp_path / "mvtec", ("screw", "bottle"))


def test_a_data_set_as_published_gives_no_finding(published: Path) -> None:
    checked = check([f"mvtec:{published}"])
    assert said(checked) == []
    assert [one.published for one in checked.data_sets[0].classes] == [COUNTS["bottle"], COUNTS["screw"]]


def test_missing_and_extra_images(published: Path) -> None:
    (published / "screw/test/good/1.png").unlink()
    (published / "screw/test/bent/1.png").unlink()
    (published / "screw/ground_truth/bent/1_mask.png").unlink()
    (published / "bottle/train/good/1.png").unlink()
    image(published / "bottle/test/good/9.png", 999)
    image(published / "screw/train/good/9.png", 998)
    assert said(check([f"mvtec:{published}"])) == [
        ("missing", "error", [("screw", "2 normal; published: 3"), ("screw", "2 anomalous; published: 3")]),
        ("extra", "error", [("bottle", "4 normal; published: 3")]),
        ("missing", "warning", [("bottle", "1 training images; published: 2")]),
        ("extra", "warning", [("screw", "3 training images; published: 2")]),
    ]


def test_missing_and_extra_classes(published: Path) -> None:
    (published / "screw").rename(published / "cog")
    checked = check([f"mvtec=mvtec:{published}"])
    assert said(checked) == [("missing", "error", [("screw", "")]), ("extra", "error", [("cog", "")])]
    assert [(one.class_name, one.normal) for one in checked.data_sets[0].classes] == [
        ("bottle", 3),
        ("cog", 3),
        ("screw", 0),
    ]


def test_the_folder_of_one_class_lacks_the_others_without_harm(published: Path) -> None:
    assert said(check([f"mvtec=mvtec:{published / 'screw'}"])) == [("missing", "warning", [("bottle", "")])]


def test_a_data_set_under_another_name_is_not_held_against_published_counts(published: Path) -> None:
    shutil.rmtree(published / "screw" / "train")
    checked = check([f"parts=mvtec:{published}"])
    assert said(checked) == []
    assert [one.published for one in checked.data_sets[0].classes] == [None, None]


# --- several data sets ---


@pytest.fixture
def two(tmp_path: Path) -> list[str]:
    """Two clean data sets that share nothing."""
    a, b = mvtec_tree(tmp_path / "a", ("nut",)), mvtec_tree(tmp_path / "b", ("cap",), 500)
    return [f"mvtec:{a}", f"mvtec:{b}"]


def test_two_that_share_nothing_give_no_finding(two: list[str]) -> None:
    assert said(check(two, two[:1])) == []


IN_B = [
    ("cap/test/good/8.png", "= nut/test/good/2.png"),
    ("cap/test/good/9.bmp", "= nut/test/good/1.png (saved again)"),
]
IN_A = [
    ("nut/test/good/1.png", "= cap/test/good/9.bmp (saved again)"),
    ("nut/test/good/2.png", "= cap/test/good/8.png"),
]


@pytest.mark.parametrize(
    ("trained_on", "severity", "data_sets", "cases"),
    [
        ([], "warning", ("a", "b"), IN_B),
        ([0], "error", ("a", "b"), IN_B),
        ([1], "error", ("b", "a"), IN_A),
        ([0, 1], "warning", ("a", "b"), IN_B),
    ],
)
def test_images_of_two_data_sets(
    trained_on: list[int],
    severity: str,
    data_sets: tuple[str, str],
    cases: list[tuple[str, str]],
    two: list[str],
    tmp_path: Path,
) -> None:
    copy("a/nut/test/good/1.png", "b/cap/test/good/9.bmp")(tmp_path)
    shutil.copy(tmp_path / "a/nut/test/good/2.png", tmp_path / "b/cap/test/good/8.png")
    checked = check(two, [two[number] for number in trained_on])
    assert said(checked) == [("shared", severity, cases)]
    assert checked.findings[0].data_sets == data_sets


@pytest.mark.parametrize(
    ("other", "trained_on", "severity"),
    [
        ("hex nut", False, "warning"),
        ("Hex_Nut", True, "error"),
        ("hex_nuts", False, "warning"),
        ("hex_nuts", True, "warning"),
    ],
)
def test_classes_of_the_same_name(other: str, trained_on: bool, severity: str, tmp_path: Path) -> None:
    a = f"mvtec:{mvtec_tree(tmp_path / 'a', ('hex_nut',))}"
    b = f"mvtec:{mvtec_tree(tmp_path / 'b', (other, 'glass'), 500)}"
    checked = check([b], [a]) if trained_on else check([b, a])
    names = [f"b ({other})", "a (hex_nut)"]
    assert said(checked) == [("class-name", severity, [(other, ", ".join(names))])]
    assert [one.is_trained_on for one in checked.data_sets] == [False, trained_on]


@pytest.mark.parametrize(("one", "other"), [("glass", "glas"), ("nut", "bolt"), ("gas", "ga")])
def test_names_that_only_look_like_plurals_are_two(one: str, other: str, tmp_path: Path) -> None:
    a = f"mvtec:{mvtec_tree(tmp_path / 'a', (one,))}"
    b = f"mvtec:{mvtec_tree(tmp_path / 'b', (other,), 500)}"
    assert said(check([a, b])) == []


def test_data_sets_of_one_name_are_told_apart(tmp_path: Path) -> None:
    a, b = (mvtec_tree(tmp_path / where / "parts", (where,), ord(where)) for where in "ab")
    checked = check([f"mvtec:{a}", f"mvtec:{b}", f"mvtec:{b}"])
    assert [one.name for one in checked.data_sets] == [f"mvtec:{a}", f"mvtec:{b}"]


def test_a_data_set_that_is_named_twice_is_one(two: list[str]) -> None:
    checked = check([two[0], f"{two[0]}/"], [f"{two[0]}//."])
    assert [(one.specification, one.is_trained_on) for one in checked.data_sets] == [(two[0], True)]
    assert said(checked) == []


def test_what_a_detector_has_seen(two: list[str], tmp_path: Path) -> None:
    hashes = frozenset(content_hash(tmp_path / "a/nut/test/good" / name) for name in ("0.png", "2.png"))
    checked = check(two, detectors=[RecordedTraining("mine", hashes, ("nut", "caps", "glass"))])
    assert said(checked) == [
        ("seen-in-training", "error", [("nut/test/good/0.png", ""), ("nut/test/good/2.png", "")]),
        ("class-name", "error", [("nut", "trained on: nut")]),
        ("class-name", "warning", [("cap", "trained on: caps")]),
    ]
    assert "2 of 8 images seen in training by detector mine" in checked.findings[0].message


def test_what_a_detector_has_seen_elsewhere_is_no_matter(two: list[str]) -> None:
    assert said(check(two, detectors=[RecordedTraining("mine", frozenset(["0" * 64]), ("glass",))])) == []

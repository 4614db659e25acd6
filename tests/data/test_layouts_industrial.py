"""Layouts of industrial data sets, on trees in the exact form in which they are published."""

from pathlib import Path

import pytest
from PIL import Image

from tests.data.test_layouts import described, make
from zsad.data import layouts
from zsad.data.specification import data_set
from zsad.errors import InputError
from zsad.testing import check_layout

TOTALS = {
    "mvtec": (15, 467, 1258, 3629),
    "visa": (12, 962, 1200, 8659),
    "btad": (3, 451, 290, 1799),
    "mpdd": (6, 176, 282, 888),
    "kolektor-sdd": (1, 347, 52, 0),
    "ksdd2": (1, 894, 110, 2331),
    "dagm": (10, 6996, 1054, 8050),
    "rsdd": (1, 0, 195, 0),
    "mtd": (1, 952, 392, 0),
    "bsdata": (1, 710, 394, 0),
    "mvtec-loco": (5, 575, 993, 1772 + 304),
}


def read(layout: str, root: Path) -> list[tuple[object, ...]]:
    """The samples of a layout, which keeps the promises of all, as tuples; paths as text below the root."""
    check_layout(layouts.get(layout), root)
    return listed(layout, root)


def listed(layout: str, root: Path) -> list[tuple[object, ...]]:
    """The same where a list names files that are not there, or one of them twice."""
    return [described(root, sample) for sample in layouts.get(layout).samples(root)]


def draw(root: Path, *names: str, value: int = 0) -> None:
    """Real images of 4×4 px, black but for one pixel of ``value``."""
    for name in names:
        image = Image.new("L", (4, 4))
        image.putpixel((2, 1), value)
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        image.save(root / name)


# --- what they say of themselves ---


@pytest.mark.parametrize("name", TOTALS)
def test_counts_add_up_to_what_was_published(name: str) -> None:
    counts = layouts.get(name).counts.values()
    sums = (sum(one.normal for one in counts), sum(one.anomalous for one in counts), sum(one.train for one in counts))
    assert (len(counts), *sums) == TOTALS[name]


def test_dtd_synthetic_counts_only_what_is_known() -> None:
    layout = layouts.get("dtd-synthetic")
    known = layout.counts.values()
    assert len(layout.classes) == 12
    assert set(layout.classes) - layout.counts.keys() == {name for name in layout.classes if name.startswith("Woven")}
    assert sum(one.normal for one in known) == 357 - 201
    assert sum(one.anomalous for one in known) == 947 - 388


@pytest.mark.parametrize("name", sorted({*TOTALS, "dtd-synthetic"} - {"mvtec"}))
def test_classes_that_are_counted_are_named(name: str) -> None:
    layout = layouts.get(name)
    assert layout.counts.keys() <= set(layout.classes)


@pytest.mark.parametrize("name", sorted({*TOTALS, "dtd-synthetic"}))
def test_another_tree_is_named_with_what_it_holds(tmp_path: Path, name: str) -> None:
    root = make(tmp_path / "other", "some/where/1.png", "notes.txt", ".DS_Store")
    with pytest.raises(InputError) as caught:
        layouts.get(name).samples(root)
    assert str(root) in caught.value.value
    assert "holds notes.txt, some" in caught.value.value
    assert caught.value.remedy


def test_a_root_that_is_a_file_or_does_not_exist(tmp_path: Path) -> None:
    make(tmp_path, "data.zip")
    with pytest.raises(InputError, match=r"data\.zip \(not a folder\)"):
        layouts.get("mtd").samples(tmp_path / "data.zip")
    with pytest.raises(InputError, match=r"away \(does not exist\)"):
        layouts.get("mtd").samples(tmp_path / "away")


# --- the tree of MVTec AD: mpdd, btad, dtd-synthetic ---


def test_mpdd(tmp_path: Path) -> None:
    make(
        tmp_path,
        *("tubes/train/good/000.png", "tubes/test/good/000.png", "tubes/test/anomalous/001.png"),
        *("tubes/ground_truth/anomalous/001_mask.png", "bracket_black/test/scratches/10.png"),
        *("bracket_black/test/scratches/9.png", "bracket_black/ground_truth/scratches/9_mask.png"),
        *("annotations/test/good/1.png", "__MACOSX/tubes/test/good/._000.png", "tubes/test/good/.DS_Store"),
    )
    mask = "bracket_black/ground_truth/scratches/9_mask.png"
    assert read("mpdd", tmp_path) == [
        ("bracket_black/test/scratches/9.png", 1, "bracket_black", "scratches", mask, "test"),
        ("bracket_black/test/scratches/10.png", 1, "bracket_black", "scratches", None, "test"),
        ("tubes/train/good/000.png", 0, "tubes", "good", None, "train"),
        (
            *("tubes/test/anomalous/001.png", 1, "tubes", "anomalous"),
            *("tubes/ground_truth/anomalous/001_mask.png", "test"),
        ),
        ("tubes/test/good/000.png", 0, "tubes", "good", None, "test"),
    ]
    assert len(layouts.get("mpdd").samples(tmp_path / "tubes")) == 3


def test_mpdd_refuses_other_classes(tmp_path: Path) -> None:
    make(tmp_path, "bottle/test/good/000.png")
    with pytest.raises(InputError, match="bracket_black") as caught:
        layouts.get("mpdd").samples(tmp_path)
    assert "layout 'mvtec'" in caught.value.remedy


def test_a_class_that_is_a_link_is_called_by_its_own_name(tmp_path: Path) -> None:
    make(tmp_path, "store/7/test/good/000.png")
    (tmp_path / "tubes").symlink_to(tmp_path / "store/7")
    assert [sample.class_name for sample in layouts.get("mpdd").samples(tmp_path)] == ["tubes"]


def test_btad_pairs_masks_of_other_suffixes(tmp_path: Path) -> None:
    make(
        tmp_path,
        *("01/train/ok/0000.bmp", "01/test/ok/0000.bmp", "01/test/ko/0001.bmp", "01/ground_truth/ko/0001.png"),
        *("02/test/ko/0000.png", "02/ground_truth/ko/0000.png", "03/test/ko/0002.bmp", "03/ground_truth/ko/0002.bmp"),
    )
    assert read("btad", tmp_path) == [
        ("01/train/ok/0000.bmp", 0, "01", "good", None, "train"),
        ("01/test/ko/0001.bmp", 1, "01", "ko", "01/ground_truth/ko/0001.png", "test"),
        ("01/test/ok/0000.bmp", 0, "01", "good", None, "test"),
        ("02/test/ko/0000.png", 1, "02", "ko", "02/ground_truth/ko/0000.png", "test"),
        ("03/test/ko/0002.bmp", 1, "03", "ko", "03/ground_truth/ko/0002.bmp", "test"),
    ]


def test_dtd_synthetic(tmp_path: Path) -> None:
    make(
        tmp_path,
        *("Woven_127/train/good/000.png", "Woven_127/test/good/000.png", "Woven_127/test/bad/001.png"),
        *("Woven_127/ground_truth/bad/001_mask.png", "Blotchy_099/test/bad/000.png"),
    )
    assert read("dtd-synthetic", tmp_path) == [
        ("Blotchy_099/test/bad/000.png", 1, "Blotchy_099", "bad", None, "test"),
        ("Woven_127/train/good/000.png", 0, "Woven_127", "good", None, "train"),
        ("Woven_127/test/bad/001.png", 1, "Woven_127", "bad", "Woven_127/ground_truth/bad/001_mask.png", "test"),
        ("Woven_127/test/good/000.png", 0, "Woven_127", "good", None, "test"),
    ]


# --- visa ---

VISA = (
    "object,split,label,image,mask",
    "candle,train,normal,candle/Data/Images/Normal/0000.JPG,",
    "candle,test,anomaly,candle/Data/Images/Anomaly/000.JPG,candle/Data/Masks/Anomaly/000.png",
    "pcb1,test,normal,pcb1/Data/Images/Normal/0001.JPG,",
    "pcb1,test,anomaly,pcb1/Data/Images/Anomaly/001.JPG,pcb1/Data/Masks/Anomaly/001.png",
)


def visa(root: Path, rows: tuple[str, ...] = VISA) -> Path:
    """VisA as published, with the images of two classes; one mask is missing."""
    make(root, *(row.split(",")[3] for row in VISA[1:]), "candle/Data/Masks/Anomaly/000.png", "candle/image_anno.csv")
    make(root, "split_csv/1cls.csv")
    (root / "split_csv/1cls.csv").write_text("\n".join(rows) + "\n")
    return root


def test_visa(tmp_path: Path) -> None:
    mask = "candle/Data/Masks/Anomaly/000.png"
    assert read("visa", visa(tmp_path)) == [
        ("candle/Data/Images/Normal/0000.JPG", 0, "candle", "good", None, "train"),
        ("candle/Data/Images/Anomaly/000.JPG", 1, "candle", "anomaly", mask, "test"),
        ("pcb1/Data/Images/Normal/0001.JPG", 0, "pcb1", "good", None, "test"),
        ("pcb1/Data/Images/Anomaly/001.JPG", 1, "pcb1", "anomaly", None, "test"),
    ]


@pytest.mark.parametrize("root", ["", "1cls"])
def test_visa_as_its_script_rearranges_it(tmp_path: Path, root: str) -> None:
    tree = tmp_path / "1cls/candle"
    make(tree, "train/good/0000.JPG", "test/bad/000.JPG", "ground_truth/bad/000.png")
    found = [described(tree, sample) for sample in layouts.get("visa").samples(tmp_path / root)]
    assert found == [
        ("train/good/0000.JPG", 0, "candle", "good", None, "train"),
        ("test/bad/000.JPG", 1, "candle", "bad", "ground_truth/bad/000.png", "test"),
    ]


@pytest.mark.parametrize(
    ("rows", "problem"),
    [
        (("object,split", "candle,train"), "KeyError"),
        ((VISA[0], VISA[1].replace("normal", "fine")), "'fine'"),
        ((VISA[0], VISA[1].replace("train", "val")), "'val'"),
        ((VISA[0], "candle,train,normal"), "VisA is complete"),
    ],
)
def test_visa_refuses_another_list(tmp_path: Path, rows: tuple[str, ...], problem: str) -> None:
    with pytest.raises(InputError, match=problem) as caught:
        layouts.get("visa").samples(visa(tmp_path, rows))
    assert str(tmp_path) in caught.value.value


def test_visa_refuses_missing_images(tmp_path: Path) -> None:
    (visa(tmp_path) / "candle/Data/Images/Normal/0000.JPG").unlink()
    with pytest.raises(InputError, match=f"1 missing below {tmp_path}: .*Normal/0000.JPG"):
        layouts.get("visa").samples(tmp_path)
    with pytest.raises(InputError, match="all of the list"):
        layouts.get("visa").samples(visa(tmp_path, VISA[:1]))


def test_visa_refuses_images_that_the_list_does_not_name(tmp_path: Path) -> None:
    make(visa(tmp_path), "candle/Data/Images/Normal/9.JPG")
    with pytest.raises(InputError, match=r"names all images below .*Normal/9\.JPG\."):
        layouts.get("visa").samples(tmp_path)
    make(tmp_path, "candle/Data/Images/Normal/8.JPG")
    with pytest.raises(InputError, match=r"Normal/8\.JPG and 1 more"):
        layouts.get("visa").samples(tmp_path)


# --- kolektor-sdd and ksdd2, whose masks say what is anomalous ---


def test_kolektor_sdd(tmp_path: Path) -> None:
    make(tmp_path, "kos01/Part10.jpg", "kos01/Part2.jpg", "kos02/Part0.jpg", "kos01/._Part2.jpg", "split.pkl")
    draw(tmp_path, "kos01/Part10_label.bmp", "kos02/Part0_label.bmp")
    draw(tmp_path, "kos01/Part2_label.bmp", value=1)
    name = "electrical commutators"
    assert read("kolektor-sdd", tmp_path) == [
        ("kos01/Part2.jpg", 1, name, "crack", "kos01/Part2_label.bmp", "test"),
        ("kos01/Part10.jpg", 0, name, "good", None, "test"),
        ("kos02/Part0.jpg", 0, name, "good", None, "test"),
    ]


def test_kolektor_sdd_cannot_tell_without_masks(tmp_path: Path) -> None:
    make(tmp_path, *(f"kos01/Part{number}.jpg" for number in range(4)))
    with pytest.raises(InputError, match=rf"4 missing below {tmp_path}: .*Part0_label.*Part2_label\.bmp, \.\.\."):
        layouts.get("kolektor-sdd").samples(tmp_path)
    make(tmp_path, *(f"kos01/Part{number}_label.bmp" for number in range(4)))
    with pytest.raises(InputError, match=r"a whole image file.*; got .*Part0_label\.bmp"):
        layouts.get("kolektor-sdd").samples(tmp_path)


def test_ksdd2(tmp_path: Path) -> None:
    make(tmp_path, "train/10301.png", "train/10301 (copy).png", "train/10301_GT (copy).png")
    make(tmp_path, "train/10000.png", "test/20001.png", "test/20000.png")
    draw(tmp_path, "train/10301_GT.png", "test/20000_GT.png")
    draw(tmp_path, "train/10000_GT.png", "test/20001_GT.png", value=255)
    assert read("ksdd2", tmp_path) == [
        ("train/10000.png", 1, "KSDD2", "defect", "train/10000_GT.png", "train"),
        ("train/10301.png", 0, "KSDD2", "good", None, "train"),
        ("test/20000.png", 0, "KSDD2", "good", None, "test"),
        ("test/20001.png", 1, "KSDD2", "defect", "test/20001_GT.png", "test"),
    ]
    (tmp_path / "test/20000_GT.png").unlink()
    with pytest.raises(InputError, match=rf"1 missing below {tmp_path}: .*20000_GT\.png"):
        layouts.get("ksdd2").samples(tmp_path)


# --- dagm ---


def test_dagm(tmp_path: Path) -> None:
    make(
        tmp_path,
        *("Class10/Test/0001.PNG", "Class10/Test/Label/Labels.txt", "Class2/Train/0010.PNG", "Class2/Train/0009.PNG"),
        *("Class2/Train/Label/0009_label.PNG", "Class2/Test/0003.PNG", "Class2/Test/Label/0003_label.PNG"),
    )
    found = read("dagm", tmp_path)
    assert found == [
        ("Class2/Train/0009.PNG", 1, "Class2", "defect", "Class2/Train/Label/0009_label.PNG", "train"),
        ("Class2/Train/0010.PNG", 0, "Class2", "good", None, "train"),
        ("Class2/Test/0003.PNG", 1, "Class2", "defect", "Class2/Test/Label/0003_label.PNG", "test"),
        ("Class10/Test/0001.PNG", 0, "Class10", "good", None, "test"),
    ]
    assert [described(tmp_path, one) for one in layouts.get("dagm").samples(tmp_path / "Class2")] == found[:3]


def test_dagm_cannot_tell_without_its_labels(tmp_path: Path) -> None:
    make(tmp_path, "Class1/Train/0001.PNG")
    with pytest.raises(InputError, match=rf"missing below {tmp_path}.Class1.Train: Label"):
        layouts.get("dagm").samples(tmp_path)


# --- rsdd, mtd, bsdata ---


def test_rsdd(tmp_path: Path) -> None:
    first, second = "Type-I RSDDs dataset", "Type-II RSDDs dataset"
    make(
        tmp_path,
        *(f"{first}/Rail surface images/rail_10.jpg", f"{first}/Rail surface images/rail_9.jpg"),
        *(f"{first}/GroundTruth/rail_9.jpg", f"{second}/Rail surface images/rail_1.jpg"),
        f"{second}/GroundTruth/rail_1.jpg",
    )
    found = read("rsdd", tmp_path)
    assert found == [
        (
            *(f"{first}/Rail surface images/rail_9.jpg", 1, "rail", "defect (type I)"),
            *(f"{first}/GroundTruth/rail_9.jpg", "test"),
        ),
        (f"{first}/Rail surface images/rail_10.jpg", 1, "rail", "defect (type I)", None, "test"),
        (
            *(f"{second}/Rail surface images/rail_1.jpg", 1, "rail", "defect (type II)"),
            *(f"{second}/GroundTruth/rail_1.jpg", "test"),
        ),
    ]
    assert [described(tmp_path, one) for one in layouts.get("rsdd").samples(tmp_path / second)] == found[2:]


def test_mtd(tmp_path: Path) -> None:
    make(
        tmp_path,
        *("MT_Free/Imgs/exp1_num_2.jpg", "MT_Free/Imgs/exp1_num_2.png", "MT_Blowhole/Imgs/exp1_num_10.jpg"),
        *("MT_Blowhole/Imgs/exp1_num_10.png", "MT_Blowhole/Imgs/exp1_num_9.jpg", "dataset.jpg"),
    )
    draw(tmp_path, "MT_Uneven/Imgs/exp0_num_1.jpg", "MT_Uneven/Imgs/exp0_num_1.png")
    mask, blank = "MT_Blowhole/Imgs/exp1_num_10.png", "MT_Uneven/Imgs/exp0_num_1.png"
    assert read("mtd", tmp_path) == [
        ("MT_Blowhole/Imgs/exp1_num_9.jpg", 1, "magnetic tile", "blowhole", None, "test"),
        ("MT_Blowhole/Imgs/exp1_num_10.jpg", 1, "magnetic tile", "blowhole", mask, "test"),
        ("MT_Free/Imgs/exp1_num_2.jpg", 0, "magnetic tile", "good", None, "test"),
        ("MT_Uneven/Imgs/exp0_num_1.jpg", 1, "magnetic tile", "uneven", blank, "test"),
    ]


def test_bsdata(tmp_path: Path) -> None:
    make(
        tmp_path,
        *("data/crop_10.jpg", "data/crop_9.jpg", "data/crop_2.jpg", "data/BSD/test/crop_2.jpg"),
        *("label/crop_9.json", "label/crop_10.json", "label/._crop_2.json", "masks/crop_9.png", "demo/demo.png"),
    )
    assert read("bsdata", tmp_path) == [
        ("data/crop_2.jpg", 0, "ball screw", "good", None, "test"),
        ("data/crop_9.jpg", 1, "ball screw", "pitting", "masks/crop_9.png", "test"),
        ("data/crop_10.jpg", 1, "ball screw", "pitting", "label/crop_10.json", "test"),
    ]


# --- which data set this is ---


@pytest.mark.parametrize(
    ("names", "called"),
    [
        (("bottle/test/broken_large/0.png", "tile/test/good/0.png"), "mvtec"),
        (("tile/test/glue_strip/0.png", "tile/train/good/0.png"), "mvtec"),
        (("tile/test/blowhole/0.png", "tile/test/crack/0.png", "tile/test/good/0.png"), "tiles"),
        (("tile/test/good/0.png", "cookie/test/good/0.png"), "tiles"),
    ],
)
def test_only_mvtec_ad_is_called_mvtec(tmp_path: Path, names: tuple[str, ...], called: str) -> None:
    found = data_set(f"mvtec:{make(tmp_path / 'tiles', *names)}")
    assert found.name == called
    assert found.is_published == (called == "mvtec")


def test_data_sets_with_a_layout_of_their_own_have_its_name(tmp_path: Path) -> None:
    assert data_set(f"visa:{visa(tmp_path / 'here')}").name == "visa"
    make(tmp_path / "there", "Woven_001/test/good/000.png")
    assert data_set(f"dtd-synthetic:{tmp_path / 'there'}").is_published


def test_a_layout_of_any_data_names_none(tmp_path: Path) -> None:
    assert not data_set(f"folder:{make(tmp_path / 'tile', '1.png')}").is_published

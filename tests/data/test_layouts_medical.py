"""Layouts of medical data sets, on trees in the exact form in which they are published."""

from pathlib import Path

import pytest

from tests.data.test_layouts import make
from tests.data.test_layouts_industrial import read
from zsad.data import layouts
from zsad.data.checking.check import check
from zsad.data.specification import data_set, in_words
from zsad.errors import InputError
from zsad.knowledge import Knowledge

TOTALS = {
    "head-ct": ("head CT", 100, 100, 0),
    "brain-mri": ("brain MRI", 98, 155, 0),
    "brain-mri-bayes-pfl": ("brain MRI", 85, 68, 0),
    "br35h": ("brain MRI", 1500, 1500, 0),
    "covid19": ("chest", 10192, 10973, 0),
    "isic-2016": ("skin", 0, 379, 900),
    "cvc-clinicdb": ("colon", 0, 612, 0),
    "cvc-colondb": ("colon", 0, 380, 0),
    "cvc-300": ("colon", 0, 60, 0),
    "endotect": ("colon", 0, 200, 0),
    "kvasir": ("colon", 0, 1000, 0),
    "tn3k": ("thyroid", 0, 614, 2879),
    "bmad-brain": ("Brain", 640, 3075, 7500),
    "bmad-liver": ("Liver", 833, 660, 1542),
    "bmad-resc": ("Retina", 1041, 764, 4297),
}
POLYPS = ["cvc-clinicdb", "cvc-colondb", "cvc-300", "endotect", "kvasir"]
MASKED = [*POLYPS, "isic-2016", "tn3k"]


# --- what they say of themselves ---


@pytest.mark.parametrize("name", TOTALS)
def test_counts_are_those_published(name: str) -> None:
    layout = layouts.get(name)
    found = [(key, one.normal, one.anomalous, one.train) for key, one in layout.counts.items()]
    assert found == [TOTALS[name]]
    assert layout.classes == tuple(layout.counts)


@pytest.mark.parametrize("name", TOTALS)
def test_the_knowledge_base_knows_them(name: str) -> None:
    assert Knowledge.shipped().lookup(in_words(layouts.get(name).classes[0])).llm


@pytest.mark.parametrize("name", TOTALS)
def test_another_tree_is_named_with_what_it_holds(tmp_path: Path, name: str) -> None:
    root = make(tmp_path / "other", "some/where/1.png", "notes.txt", ".DS_Store")
    with pytest.raises(InputError) as caught:
        layouts.get(name).samples(root)
    assert f"{root} (holds notes.txt, some)" in caught.value.value
    assert caught.value.remedy


# --- folders of images and folders of masks ---


@pytest.mark.parametrize("name", POLYPS)
def test_polyps(tmp_path: Path, name: str) -> None:
    make(tmp_path, "images/10.jpg", "images/9.png", "masks/9.png", "masks/10.tif", "images/.9.png", "masks/._9.png")
    assert read(name, tmp_path) == [
        ("images/9.png", 1, "colon", "polyp", "masks/9.png", "test"),
        ("images/10.jpg", 1, "colon", "polyp", "masks/10.tif", "test"),
    ]
    assert data_set(f"{name}:{tmp_path}").name == name


def test_cvc_clinicdb_as_it_was_published(tmp_path: Path) -> None:
    make(tmp_path, "Original/1.tif", "Ground Truth/1.tif")
    assert read("cvc-clinicdb", tmp_path) == [("Original/1.tif", 1, "colon", "polyp", "Ground Truth/1.tif", "test")]


def test_masks_belong_to_names_and_not_to_places_in_a_list(tmp_path: Path) -> None:
    make(tmp_path, "images/a.jpg", "images/b.jpg", "images/c.jpg", "masks/b.jpg", "masks/c.jpg", "masks/d.jpg")
    assert [sample[4] for sample in read("kvasir", tmp_path)] == [None, "masks/b.jpg", "masks/c.jpg"]


def test_the_check_names_every_image_without_mask_and_every_mask_without_image(tmp_path: Path) -> None:
    make(tmp_path, *(f"images/{number}.jpg" for number in range(6)), "masks/5.jpg", "masks/6.jpg")
    found = {one.kind: [case.subject for case in one.cases] for one in check([f"kvasir:{tmp_path}"]).findings}
    assert found["missing-mask"] == [f"images/{number}.jpg" for number in range(5)]
    assert found["orphan-mask"] == ["masks/6.jpg"]


@pytest.mark.parametrize("name", MASKED)
def test_masks_of_no_image_are_another_data_set(tmp_path: Path, name: str) -> None:
    images, masks = layouts.get(name).folders[0]  # type: ignore[attr-defined]  # all of these are Masked
    make(tmp_path, f"{images}/1.jpg", f"{images}/2.jpg", f"{masks}/other.png")
    with pytest.raises(InputError, match="none of 2 in") as caught:
        layouts.get(name).samples(tmp_path)
    assert str(tmp_path / images) in caught.value.value
    assert masks in caught.value.rule


def test_folders_without_images(tmp_path: Path) -> None:
    make(tmp_path, "images/readme.txt", "masks/1.png")
    with pytest.raises(InputError, match="none of 0 in"):
        layouts.get("endotect").samples(tmp_path)


def test_isic_2016(tmp_path: Path) -> None:
    test, train = "ISBI2016_ISIC_Part1_Test", "ISBI2016_ISIC_Part1_Training"
    make(tmp_path, f"{test}_Data/ISIC_0000003.jpg", f"{test}_GroundTruth/ISIC_0000003_Segmentation.png")
    expected = [
        (
            *(f"{test}_Data/ISIC_0000003.jpg", 1, "skin", "lesion"),
            *(f"{test}_GroundTruth/ISIC_0000003_Segmentation.png", "test"),
        )
    ]
    assert read("isic-2016", tmp_path) == expected
    make(tmp_path, f"{train}_Data/ISIC_0000000.jpg", f"{train}_GroundTruth/ISIC_0000000_Segmentation.png")
    assert read("isic-2016", tmp_path) == [
        (
            *(f"{train}_Data/ISIC_0000000.jpg", 1, "skin", "lesion"),
            *(f"{train}_GroundTruth/ISIC_0000000_Segmentation.png", "train"),
        ),
        *expected,
    ]


def test_tn3k(tmp_path: Path) -> None:
    make(tmp_path, "test-image/0001.jpg", "test-mask/0001.jpg", "trainval-image/0000.jpg", "trainval-mask/0000.jpg")
    make(tmp_path, "tn3k-trainval-fold0.json")
    assert read("tn3k", tmp_path) == [
        ("trainval-image/0000.jpg", 1, "thyroid", "nodule", "trainval-mask/0000.jpg", "train"),
        ("test-image/0001.jpg", 1, "thyroid", "nodule", "test-mask/0001.jpg", "test"),
    ]


# --- folders no and yes ---


@pytest.mark.parametrize("name", ["brain-mri", "br35h"])
def test_no_and_yes(tmp_path: Path, name: str) -> None:
    make(tmp_path, "no/10 no.jpg", "no/9 no.jpeg", "yes/Y1.JPG", "pred/pred0.jpg", "no/.hidden.jpg")
    assert read(name, tmp_path) == [
        ("no/9 no.jpeg", 0, "brain MRI", "good", None, "test"),
        ("no/10 no.jpg", 0, "brain MRI", "good", None, "test"),
        ("yes/Y1.JPG", 1, "brain MRI", "tumour", None, "test"),
    ]


def test_brain_mri_is_read_once_though_the_archive_holds_it_twice(tmp_path: Path) -> None:
    within = ("brain_tumor_dataset/no/1.jpg", "brain_tumor_dataset/yes/2.jpg")
    make(tmp_path, *within)
    assert [sample[0] for sample in read("brain-mri", tmp_path)] == list(within)
    make(tmp_path, "no/1.jpg", "yes/2.jpg")
    assert [sample[0] for sample in read("brain-mri", tmp_path)] == ["no/1.jpg", "yes/2.jpg"]


def test_one_of_the_two_folders_is_not_enough(tmp_path: Path) -> None:
    make(tmp_path, "yes/2.jpg")
    with pytest.raises(InputError, match=r"folders no and yes.*\(holds yes\)"):
        layouts.get("br35h").samples(tmp_path)


def test_brain_mri_of_bayes_pfl_is_a_part_of_it(tmp_path: Path) -> None:
    make(tmp_path, "no/1 no.jpeg", "no/2 no.jpg", "no/N3.JPG", "yes/Y1.JPG", "yes/Y2.jpg")
    assert read("brain-mri-bayes-pfl", tmp_path) == [
        ("no/2 no.jpg", 0, "brain MRI", "good", None, "test"),
        ("yes/Y1.JPG", 1, "brain MRI", "tumour", None, "test"),
    ]


@pytest.mark.parametrize("names", [("no/1.png", "yes/2.png"), ("no/1.jpg", "yes/2.jpg")])
def test_brain_mri_of_bayes_pfl_needs_the_suffixes(tmp_path: Path, names: tuple[str, ...]) -> None:
    make(tmp_path, *names)
    with pytest.raises(InputError, match="suffixes as published"):
        layouts.get("brain-mri-bayes-pfl").samples(tmp_path)


# --- head-ct ---

LABELS = "id, hemorrhage\n0,1\n1,0\n10,1\n"


def head_ct(root: Path, labels: str = LABELS) -> Path:
    """HeadCT as published, with three images."""
    make(root, "head_ct/010.png", "head_ct/000.png", "head_ct/001.png", "labels.csv")
    (root / "labels.csv").write_text(labels)
    return root


def test_head_ct(tmp_path: Path) -> None:
    assert read("head-ct", head_ct(tmp_path)) == [
        ("head_ct/000.png", 1, "head CT", "haemorrhage", None, "test"),
        ("head_ct/001.png", 0, "head CT", "good", None, "test"),
        ("head_ct/010.png", 1, "head CT", "haemorrhage", None, "test"),
    ]


@pytest.mark.parametrize(
    ("labels", "problem"),
    [
        ("", "ValueError"),
        ("id, label\n0,1\n", "columns id, label"),
        (LABELS.replace("10,1", "10,2"), "KeyError"),
        (LABELS.replace("10,1", "ten,1"), "'ten'"),
        (LABELS.replace("10,1", "10"), "not enough values"),
        (LABELS + "10,1\n", "an id twice"),
        (LABELS.replace("10,1\n", ""), r"no line for 010\.png"),
        (LABELS + "11,0\n", r"HeadCT is complete.*011\.png"),
    ],
)
def test_head_ct_refuses_another_list(tmp_path: Path, labels: str, problem: str) -> None:
    with pytest.raises(InputError, match=problem) as caught:
        layouts.get("head-ct").samples(head_ct(tmp_path, labels))
    assert str(tmp_path) in caught.value.value


# --- covid19 ---


def test_covid19_takes_no_masks_of_lungs(tmp_path: Path) -> None:
    folders = ("COVID", "Lung_Opacity", "Normal", "Viral Pneumonia")
    make(tmp_path, *(f"{one}/images/{one}-1.png" for one in folders), *(f"{one}/masks/{one}-1.png" for one in folders))
    make(tmp_path, "Normal.metadata.xlsx", "README.md.txt")
    assert read("covid19", tmp_path) == [
        ("COVID/images/COVID-1.png", 1, "chest", "COVID", None, "test"),
        ("Lung_Opacity/images/Lung_Opacity-1.png", 1, "chest", "Lung_Opacity", None, "test"),
        ("Normal/images/Normal-1.png", 0, "chest", "good", None, "test"),
        ("Viral Pneumonia/images/Viral Pneumonia-1.png", 1, "chest", "Viral Pneumonia", None, "test"),
    ]


def test_covid19_in_its_first_release(tmp_path: Path) -> None:
    make(tmp_path, "COVID-19/COVID-19 (1).png", "NORMAL/NORMAL (1).png")
    assert read("covid19", tmp_path) == [
        ("COVID-19/COVID-19 (1).png", 1, "chest", "COVID-19", None, "test"),
        ("NORMAL/NORMAL (1).png", 0, "chest", "good", None, "test"),
    ]


def test_covid19_is_more_than_its_normal_images(tmp_path: Path) -> None:
    make(tmp_path, "Normal/images/1.png")
    with pytest.raises(InputError, match=r"Lung_Opacity, Viral Pneumonia.*\(holds Normal\)"):
        layouts.get("covid19").samples(tmp_path)


# --- bmad ---

BMAD = (
    *("train/good/img/1.png", "valid/good/img/2.png", "valid/Ungood/img/3.png", "valid/Ungood/label/3.png"),
    *("test/good/img/4.png", "test/good/label/4.png", "test/Ungood/img/6.png", "test/Ungood/img/5.png"),
    "test/Ungood/label/6.png",
)


@pytest.mark.parametrize(
    ("name", "called", "kind"),
    [("bmad-brain", "Brain", "tumour"), ("bmad-liver", "Liver", "tumour"), ("bmad-resc", "Retina", "oedema")],
)
def test_bmad_without_its_images_for_validation(tmp_path: Path, name: str, called: str, kind: str) -> None:
    assert read(name, make(tmp_path, *BMAD)) == [
        ("train/good/img/1.png", 0, called, "good", None, "train"),
        ("test/good/img/4.png", 0, called, "good", None, "test"),
        ("test/Ungood/img/5.png", 1, called, kind, None, "test"),
        ("test/Ungood/img/6.png", 1, called, kind, "test/Ungood/label/6.png", "test"),
    ]


def test_bmad_in_its_other_form(tmp_path: Path) -> None:
    make(tmp_path, "train/good/1.png", "test/good/2.png", "test/Ungood/img/3.png", "test/Ungood/anomaly_mask/3.png")
    assert read("bmad-liver", tmp_path) == [
        ("train/good/1.png", 0, "Liver", "good", None, "train"),
        ("test/good/2.png", 0, "Liver", "good", None, "test"),
        ("test/Ungood/img/3.png", 1, "Liver", "tumour", "test/Ungood/anomaly_mask/3.png", "test"),
    ]


def test_bmad_without_anomalous_images_is_another_tree(tmp_path: Path) -> None:
    make(tmp_path, "train/good/img/1.png", "test/good/img/2.png")
    with pytest.raises(InputError, match="test/Ungood"):
        layouts.get("bmad-brain").samples(tmp_path)


# --- as they are passed on ---


def test_a_set_of_one_class_is_also_read_in_the_tree_of_mvtec(tmp_path: Path) -> None:
    make(tmp_path, "headct/test/good/001.png", "headct/test/defect/000.png")
    expected = [
        ("headct/test/defect/000.png", 1, "head CT", "defect", None, "test"),
        ("headct/test/good/001.png", 0, "head CT", "good", None, "test"),
    ]
    assert read("head-ct", tmp_path) == expected
    assert len(layouts.get("head-ct").samples(tmp_path / "headct")) == 2
    assert data_set(f"head-ct:{tmp_path}").name == "head-ct"


def test_brain_mri_in_the_pack_of_bayes_pfl(tmp_path: Path) -> None:
    make(tmp_path, "brain ct/test/good/1.bmp", "brain ct/test/anomaly/2.bmp")
    assert read("brain-mri-bayes-pfl", tmp_path) == [
        ("brain ct/test/anomaly/2.bmp", 1, "brain MRI", "anomaly", None, "test"),
        ("brain ct/test/good/1.bmp", 0, "brain MRI", "good", None, "test"),
    ]


@pytest.mark.parametrize("name", sorted(TOTALS.keys() - {"bmad-brain", "bmad-liver", "bmad-resc"}))
def test_several_classes_in_that_tree_are_another_data_set(tmp_path: Path, name: str) -> None:
    make(tmp_path, "bottle/test/good/1.png", "cable/test/good/1.png")
    with pytest.raises(InputError, match=r"one class in the tree of MVTec AD.*\(holds bottle, cable\)"):
        layouts.get(name).samples(tmp_path)

"""Layouts of any data: lists that authors of methods pass on, labelled folders. And what is known of all classes."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.data.test_layouts import make
from tests.data.test_layouts_industrial import listed, read
from zsad.data import layouts
from zsad.data.specification import data_set, in_words
from zsad.errors import InputError
from zsad.knowledge import LLM_COUNT, Knowledge

GOOD, BENT, WORN = "metal_nut/test/good/000.png", "metal_nut/test/bent/001.png", "metal_nut/test/worn/002.png"
TRAIN, MASK = "metal_nut/train/good/000.png", "metal_nut/ground_truth/bent/001_mask.png"


def entry(**values: object) -> dict[str, object]:
    """An anomalous entry as AnomalyCLIP's script writes it, but for what is said otherwise."""
    known = {"img_path": BENT, "mask_path": MASK, "cls_name": "metal_nut", "specie_name": "bent", "anomaly": 1}
    return known | values


def normal(path: str, **values: object) -> dict[str, object]:
    return entry(img_path=path, mask_path="", specie_name="good", anomaly=0) | values


def without(key: str) -> dict[str, object]:
    return {name: value for name, value in entry().items() if name != key}


def meta(root: Path, content: object, name: str = "meta.json") -> Path:
    make(root, TRAIN, GOOD, BENT, WORN, MASK)
    (root / name).write_text(json.dumps(content, indent=4) + "\n")
    return root


def content_of(*entries: object) -> dict[str, Any]:
    return {"train": {}, "test": {"metal_nut": list(entries)}}


# --- meta-json ---


def test_meta_json_as_of_anomaly_clip(tmp_path: Path) -> None:
    content = {
        "train": {"metal_nut": [normal(TRAIN)]},
        "test": {"metal_nut": [entry(), entry(img_path=WORN, mask_path="", specie_name="worn"), normal(GOOD)]},
    }
    root = meta(tmp_path / "parts", content)
    assert read("meta-json", root) == [
        (TRAIN, 0, "metal_nut", "good", None, "train"),
        (BENT, 1, "metal_nut", "bent", MASK, "test"),
        (WORN, 1, "metal_nut", "worn", None, "test"),
        (GOOD, 0, "metal_nut", "good", None, "test"),
    ]


def test_meta_json_as_of_bayes_pfl(tmp_path: Path) -> None:
    """Its training split is empty but for a placeholder; the masks that it names were never made."""
    image, good = "HeadCT/head ct/test/anomaly/HeadCT_defect_000_000000.bmp", "HeadCT/head ct/test/good/1.bmp"
    mask = image.replace("test", "ground_truth").replace(".bmp", ".png")
    known: dict[str, object] = {"cls_name": "head ct", "specie_name": "anomaly", "dataset_name": "HeadCT"}
    empty = normal("", cls_name="head ct", dataset_name="")
    content = {
        "train": {"head ct": [empty]},
        "test": {"head ct": [entry(img_path=image, mask_path=mask, **known), normal(good, **known)]},
    }
    file = meta(make(tmp_path, image, good), content, "meta_HeadCT.json") / "meta_HeadCT.json"
    found = data_set(f"meta-json:{file}")
    assert [(one.image, one.label, one.class_name, one.kind, one.mask, one.split) for one in found.samples] == [
        (tmp_path / image, 1, "head ct", "anomaly", None, "test"),
        (tmp_path / good, 0, "head ct", "good", None, "test"),
    ]
    (tmp_path / mask).parent.mkdir(parents=True)  # as its script does
    assert layouts.get("meta-json").samples(file)[0].mask is None
    make(tmp_path, mask.replace("_000", "_001"))
    assert layouts.get("meta-json").samples(file)[0].mask == tmp_path / mask


@pytest.mark.parametrize("part", ["train", "test"])
def test_meta_json_of_one_part(tmp_path: Path, part: str) -> None:
    assert read("meta-json", meta(tmp_path, {part: {"metal_nut": [normal(GOOD)]}})) == [
        (GOOD, 0, "metal_nut", "good", None, part)
    ]


def test_meta_json_without_kinds_and_masks(tmp_path: Path) -> None:
    bare = {"img_path": BENT, "cls_name": "metal_nut", "anomaly": True}
    assert listed("meta-json", meta(tmp_path, content_of(bare, bare | {"anomaly": 0.0}))) == [
        (BENT, 1, "metal_nut", "anomaly", None, "test"),
        (BENT, 0, "metal_nut", "good", None, "test"),
    ]


def test_masks_of_normal_images_and_folders_are_none(tmp_path: Path) -> None:
    root = meta(tmp_path, content_of(entry(), entry(anomaly=0), entry(mask_path="metal_nut/ground_truth/bent/")))
    assert [one.mask for one in layouts.get("meta-json").samples(root)] == [tmp_path / MASK, None, None]


def test_single_files_that_are_not_here_are_kept(tmp_path: Path) -> None:
    lacking = entry(img_path="metal_nut/9.png", mask_path="metal_nut/9_mask.png", specie_name="flip")
    found = listed("meta-json", meta(tmp_path, content_of(entry(), lacking)))
    assert found[1] == ("metal_nut/9.png", 1, "metal_nut", "flip", "metal_nut/9_mask.png", "test")


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ([], r"a JSON object of train and test, or one of these; got .*meta\.json: a list"),
        ({}, r"train and test.*meta\.json: keys none"),
        ({"val": {}}, r"train and test.*meta\.json: keys val"),
        ({"test": [entry()]}, r"test is a JSON object of classes; got .*meta\.json: \["),
        ({"train": None}, r"train is a JSON object of classes; got .*meta\.json: None"),
        ({"test": {"nut": entry()}}, r"a JSON list of entries; got .*meta\.json, test, class 'nut': \{"),
        ({"test": {"nut": []}}, r"has entries to be tested on; got .*meta\.json, test, class 'nut': none"),
        ({"train": {"nut": []}, "test": {}}, r"a list names images; got .*meta\.json: no entries"),
        (content_of(entry(), "2.png"), r"an entry is a JSON object; got .*test, class 'metal_nut', entry 2: '2\.png'"),
        (content_of(entry(), entry(anomaly=2)), r"anomaly is 0 \(normal\) or 1 \(anomalous\); got .*entry 2: 2"),
        (content_of(entry(anomaly="1")), r"got .*entry 1: '1'"),
        (content_of(entry(anomaly=[])), r"got .*entry 1: \[\]"),
        (content_of(without("anomaly")), r"has the key anomaly; got .*entry 1: keys img_path, mask_path, cls_name"),
        (content_of(without("img_path")), r"has the key img_path; got .*entry 1: keys mask_path"),
        (content_of(without("cls_name")), r"has the key cls_name; got .*entry 1: keys img_path"),
        (content_of({}), r"has the key anomaly; got .*entry 1: keys none"),
        (content_of(entry(img_path="")), r"img_path is not empty; got .*entry 1: ''"),
        (content_of(entry(cls_name=None)), r"cls_name is not empty; got .*entry 1: None"),
        (content_of(entry(img_path=3)), r"img_path is text; got .*entry 1: 3"),
        (content_of(entry(mask_path=[MASK])), r"mask_path is text; got .*entry 1: \["),
        (content_of(entry(specie_name=3)), r"specie_name is text; got .*entry 1: 3"),
    ],
)
def test_meta_json_of_another_form_is_refused(tmp_path: Path, content: object, problem: str) -> None:
    with pytest.raises(InputError, match=problem) as caught:
        layouts.get("meta-json").samples(meta(tmp_path, content))
    assert str(tmp_path) in caught.value.value
    assert caught.value.remedy


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"{", "is JSON; got .*meta.json: line 1, column 2: Expecting"),
        (b'"\xff"', "in UTF-8; got .*line 1, column 2: the byte 0xff"),
    ],
)
def test_meta_json_that_cannot_be_read(tmp_path: Path, content: bytes, problem: str) -> None:
    (tmp_path / "meta.json").write_bytes(content)
    with pytest.raises(InputError, match=problem):
        layouts.get("meta-json").samples(tmp_path)


def test_meta_json_that_is_not_there(tmp_path: Path) -> None:
    make(tmp_path, "meta_ISIC.json")
    with pytest.raises(InputError, match=r"a list meta\.json; got .*\(holds meta_ISIC\.json\)") as caught:
        layouts.get("meta-json").samples(tmp_path)
    assert "the file where it is called otherwise" in caught.value.remedy


def test_a_list_that_lies_elsewhere_than_its_images(tmp_path: Path) -> None:
    meta(tmp_path, content_of(entry(), normal(GOOD)))
    make(tmp_path, "lists/notes.txt")
    (tmp_path / "meta.json").rename(tmp_path / "lists/meta.json")
    with pytest.raises(
        InputError, match=rf"none of 2, such as {tmp_path}/lists/metal_nut/test/bent/001\.png"
    ) as caught:
        layouts.get("meta-json").samples(tmp_path / "lists")
    assert "next to the images" in caught.value.remedy


# --- paths of other machines ---


@pytest.mark.parametrize(
    "before", ["", "/remote-home/someone/data/", "C:/Users/me/", "C:\\", "\\\\server\\share\\data\\"]
)
@pytest.mark.parametrize("divider", ["/", "\\"])
def test_paths_of_another_machine(tmp_path: Path, before: str, divider: str) -> None:
    there = {"img_path": before + BENT.replace("/", divider), "mask_path": before + MASK.replace("/", divider)}
    make(tmp_path, "001.png", "bent/001.png")
    assert read("meta-json", meta(tmp_path, content_of(entry(**there)))) == [
        (BENT, 1, "metal_nut", "bent", MASK, "test")
    ]


def test_absolute_paths_that_exist_are_taken_as_they_are(tmp_path: Path) -> None:
    make(tmp_path / "elsewhere", BENT)
    root = meta(
        tmp_path / "here", content_of(entry(img_path=f"{tmp_path}/elsewhere/{BENT}"), entry(img_path="/no/9.png"))
    )
    found = [one.image for one in layouts.get("meta-json").samples(root)]
    assert found == [tmp_path / "elsewhere" / BENT, Path("/no/9.png")]


# --- jsonl ---

LINES = (
    json.dumps({"image_path": BENT, "label": 1.0, "class_name": "metal_nut", "mask_path": MASK}),
    json.dumps({"image_path": GOOD, "label": 0.0, "class_name": "metal_nut"}),
    json.dumps({"image_path": WORN, "label": 1, "class_name": "metal_nut", "mask_path": None}),
)


def lines(root: Path, *written: str, name: str = "full-shot.jsonl", end: str = "\n") -> Path:
    make(root, GOOD, BENT, WORN, MASK)
    (root / name).write_bytes(end.join(written).encode())
    return root


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r", "\n\n"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_jsonl(tmp_path: Path, end: str, mark: str) -> None:
    root = lines(tmp_path, mark + LINES[0], *LINES[1:], "", end=end)
    expected = [
        (BENT, 1, "metal_nut", "anomaly", MASK, "test"),
        (GOOD, 0, "metal_nut", "good", None, "test"),
        (WORN, 1, "metal_nut", "anomaly", None, "test"),
    ]
    assert read("jsonl", root) == expected
    assert layouts.get("jsonl").samples(root / "full-shot.jsonl") == layouts.get("jsonl").samples(root)


@pytest.mark.parametrize("name", ["Zahnräder/größe\u2028.png", "歯車/傷 1.png"])
def test_names_of_any_script(tmp_path: Path, name: str) -> None:
    make(tmp_path, name)
    line = json.dumps({"image_path": name, "label": 0, "class_name": Path(name).parent.name}, ensure_ascii=False)
    assert read("jsonl", lines(tmp_path, line)) == [(name, 0, Path(name).parent.name, "good", None, "test")]


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("{", r"is JSON; got .*full-shot\.jsonl: line 3, column 2: Expecting"),
        ("[1]", r"an entry is a JSON object; got .*full-shot\.jsonl, line 3: \[1\]"),
        ('{"image_path": "1.png", "label": 0.5, "class_name": "nut"}', r"label is 0 .*line 3: 0\.5"),
        ('{"image_path": "1.png", "label": NaN, "class_name": "nut"}', "finite, and .*line 3, column 34"),
        ('{"image_path": "1.png", "label": 0}', "the key class_name; got .*line 3: keys image_path, label"),
        ('{"label": 0, "class_name": "nut"}', "the key image_path; got .*line 3: keys label, class_name"),
        ('{"image_path": "1.png", "label": 1, "class_name": "nut", "mask_path": 1}', "mask_path is text; .*line 3: 1"),
    ],
)
def test_jsonl_of_another_form_is_refused(tmp_path: Path, line: str, problem: str) -> None:
    with pytest.raises(InputError, match=problem):
        layouts.get("jsonl").samples(lines(tmp_path, LINES[0], "", line))


def test_jsonl_without_lines(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"a list names images; got .*full-shot\.jsonl: no entries"):
        layouts.get("jsonl").samples(lines(tmp_path, " ", ""))


def test_of_several_lists_one_must_be_named(tmp_path: Path) -> None:
    lines(tmp_path, *LINES)
    lines(tmp_path, LINES[1], name="16-shot.JSONL")
    with pytest.raises(InputError, match=r"one list \*\.jsonl; got .*holds 16-shot\.JSONL, full-shot\.jsonl") as caught:
        layouts.get("jsonl").samples(tmp_path)
    assert caught.value.remedy == "name the file"
    assert len(layouts.get("jsonl").samples(tmp_path / "16-shot.JSONL")) == 1


# --- labelled ---


@pytest.mark.parametrize("name", ["good", "Normal", "OK"])
def test_labelled(tmp_path: Path, name: str) -> None:
    root = make(
        tmp_path / "Zahnräder",
        *(f"{name}/10.png", f"{name}/9.png", f"{name}/monday/1.jpg", "worn tooth/1.png", "crack/2.bmp", "crack/3.bmp"),
        *("crack/4.bmp", "crack/5.bmp", "ground_truth/crack/2.png", "ground_truth/crack/3_mask.png", "masks/3.png"),
        *("Masks/4.tif", "masks/crack/5.png", "masks/9.png", "ground_truth/good/9.png", "loose.png", "notes.txt"),
    )
    good = [(f"{name}/{one}", 0, "Zahnräder", "good", None, "test") for one in ("9.png", "10.png", "monday/1.jpg")]
    assert read("labelled", root) == [
        ("crack/2.bmp", 1, "Zahnräder", "crack", "ground_truth/crack/2.png", "test"),
        ("crack/3.bmp", 1, "Zahnräder", "crack", "ground_truth/crack/3_mask.png", "test"),
        ("crack/4.bmp", 1, "Zahnräder", "crack", "Masks/4.tif", "test"),
        ("crack/5.bmp", 1, "Zahnräder", "crack", "masks/crack/5.png", "test"),
        *good,
        ("worn tooth/1.png", 1, "Zahnräder", "worn tooth", None, "test"),
    ]


def test_labelled_is_named_even_from_within(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(make(tmp_path / "gear", "good/1.png"))
    assert layouts.get("labelled").samples(Path("."))[0].class_name == "gear"


@pytest.mark.parametrize(
    ("names", "problem"),
    [
        (("crack/1.png",), r"called good, normal or ok; got .*\(holds crack\)"),
        (("good/1.png", "OK/2.png"), r"one folder of normal images, .*\(holds OK, good\)"),
        (("good/readme.txt", "crack/1.png"), "the folder of normal images has some; got .*good"),
    ],
)
def test_labelled_needs_one_folder_of_normal_images(tmp_path: Path, names: tuple[str, ...], problem: str) -> None:
    with pytest.raises(InputError, match=problem) as caught:
        layouts.get("labelled").samples(make(tmp_path, *names))
    assert str(tmp_path) in caught.value.value


@pytest.mark.parametrize("mask", ["masks/1.png", "masks/1_mask.png"])
def test_a_mask_of_two_images_is_refused(tmp_path: Path, mask: str) -> None:
    make(tmp_path, "good/1.png", "crack/1.png", "hole/1.png", "hole/2.png", "masks/2.png", mask)
    with pytest.raises(InputError, match="a mask belongs to one image") as caught:
        layouts.get("labelled").samples(tmp_path)
    assert caught.value.value == f"{tmp_path / mask} for {tmp_path}/crack/1.png and {tmp_path}/hole/1.png"


# --- what they are called ---


@pytest.mark.parametrize(
    ("layout", "path", "called"),
    [
        ("meta-json", "parts", "parts"),
        ("meta-json", "parts/meta.json", "parts"),
        ("meta-json", "parts/meta_nuts.json", "meta_nuts"),
        ("jsonl", "parts", "parts"),
        ("jsonl", "parts/full-shot.jsonl", "full-shot"),
        ("labelled", "parts/metal_nut/test", "test"),
    ],
)
def test_data_sets_are_named_after_their_folder_or_list(tmp_path: Path, layout: str, path: str, called: str) -> None:
    root = lines(
        meta(meta(tmp_path / "parts", content_of(normal(GOOD))), content_of(normal(GOOD)), "meta_nuts.json"), *LINES
    )
    place = tmp_path / path
    found = data_set(f"{layout}:{place}")
    assert (found.name, found.is_published) == (called, False)
    assert found.root == (root if place.is_file() else place)
    assert data_set(f"mine={layout}:{place}").name == "mine"


# --- what is known of the classes of every layout ---


@pytest.mark.parametrize(
    "layout", [name for name in layouts.built_in() if layouts.get(name).classes or layouts.get(name).counts]
)
def test_every_published_class_is_in_the_knowledge_base(layout: str) -> None:
    for name in {*layouts.get(layout).classes, *layouts.get(layout).counts}:
        assert len(Knowledge.shipped().lookup(in_words(name)).llm) == LLM_COUNT

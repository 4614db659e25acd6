"""MVTec LOCO AD, MVTec AD 2, AutoVI, VAD, Real-IAD and Kaputt, on trees in the form in which they are published."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as arrow
import pytest
from pyarrow import parquet

from tests.data.test_layouts import make
from tests.data.test_layouts_industrial import draw, read
from zsad.data import layouts
from zsad.data.layouts import Sample, _parquet
from zsad.errors import DependencyError, InputError


def saturations(samples: list[Sample], root: Path) -> dict[str, str | None]:
    return {
        sample.source(root): sample.saturation and sample.saturation.relative_to(root).as_posix() for sample in samples
    }


# --- MVTec LOCO AD and AutoVI: a mask for each defect, and how many of its pixels suffice ---


def test_mvtec_loco(tmp_path: Path) -> None:
    make(
        tmp_path,
        *("pushpins/train/good/000.png", "pushpins/validation/good/000.png", "pushpins/test/good/000.png"),
        *("pushpins/test/logical_anomalies/000.png", "pushpins/test/structural_anomalies/000.png"),
        "pushpins/ground_truth/logical_anomalies/000/000.png",
        "pushpins/ground_truth/logical_anomalies/000/001.png",
        "pushpins/ground_truth/structural_anomalies/000/000.png",
        *("pushpins/defects_config.json", "pushpins/license.txt", "screw_bag/test/good/000.png", "license.txt"),
    )
    logical, structural = (f"pushpins/ground_truth/{kind}_anomalies/000" for kind in ("logical", "structural"))
    test = "pushpins/test"
    assert read("mvtec-loco", tmp_path) == [
        ("pushpins/train/good/000.png", 0, "pushpins", "good", None, "train"),
        ("pushpins/validation/good/000.png", 0, "pushpins", "good", None, "train"),
        (f"{test}/good/000.png", 0, "pushpins", "good", None, "test"),
        (f"{test}/logical_anomalies/000.png", 1, "pushpins", "logical_anomalies", f"{logical}/000.png", "test"),
        (
            *(f"{test}/structural_anomalies/000.png", 1, "pushpins", "structural_anomalies"),
            *(f"{structural}/000.png", "test"),
        ),
        ("screw_bag/test/good/000.png", 0, "screw_bag", "good", None, "test"),
    ]
    samples = layouts.get("mvtec-loco").samples(tmp_path)
    assert [mask.name for mask in samples[3].masks] == ["000.png", "001.png"]
    found = saturations(samples, tmp_path)
    assert found[f"{test}/logical_anomalies/000.png"] == "pushpins/defects_config.json"
    assert found["pushpins/train/good/000.png"] is None
    assert found["screw_bag/test/good/000.png"] is None
    assert len(layouts.get("mvtec-loco").samples(tmp_path / "pushpins")) == 5


def test_mvtec_loco_refuses_other_classes(tmp_path: Path) -> None:
    make(tmp_path, "bottle/test/good/000.png")
    with pytest.raises(InputError, match="breakfast_box"):
        layouts.get("mvtec-loco").samples(tmp_path)


def test_autovi(tmp_path: Path) -> None:
    make(
        tmp_path,
        *("pipe_clip/train/good/0001.png", "pipe_clip/test/good/0002.png", "pipe_clip/test/unclipped/0089.png"),
        *("pipe_clip/ground_truth/unclipped/0089/0000.png", "pipe_clip/defects_config.json"),
    )
    mask = "pipe_clip/ground_truth/unclipped/0089/0000.png"
    assert read("autovi", tmp_path) == [
        ("pipe_clip/train/good/0001.png", 0, "pipe_clip", "good", None, "train"),
        ("pipe_clip/test/good/0002.png", 0, "pipe_clip", "good", None, "test"),
        ("pipe_clip/test/unclipped/0089.png", 1, "pipe_clip", "unclipped", mask, "test"),
    ]
    found = saturations(layouts.get("autovi").samples(tmp_path), tmp_path)
    assert found["pipe_clip/test/unclipped/0089.png"] == "pipe_clip/defects_config.json"


# --- MVTec AD 2 ---


def test_mvtec_ad_2(tmp_path: Path) -> None:
    make(
        tmp_path,
        *("vial/train/good/000_regular.png", "vial/validation/good/001_regular.png"),
        *("vial/test_public/good/000_shift_1.png", "vial/test_public/bad/002_overexposed.png"),
        "vial/test_public/ground_truth/bad/002_overexposed_mask.png",
        *("vial/test_private/000.png", "vial/test_private_mixed/000_mixed.png", "license.txt"),
    )
    mask = "vial/test_public/ground_truth/bad/002_overexposed_mask.png"
    expected = [
        ("vial/train/good/000_regular.png", 0, "vial", "good", None, "train"),
        ("vial/validation/good/001_regular.png", 0, "vial", "good", None, "train"),
        ("vial/test_public/good/000_shift_1.png", 0, "vial", "good", None, "test"),
        ("vial/test_public/bad/002_overexposed.png", 1, "vial", "bad", mask, "test"),
        ("vial/test_private/000.png", None, "vial", "unknown", None, "test"),
        ("vial/test_private_mixed/000_mixed.png", None, "vial", "unknown", None, "test"),
    ]
    assert read("mvtec-ad-2", tmp_path) == expected
    assert len(layouts.get("mvtec-ad-2").samples(tmp_path / "vial")) == len(expected)


def test_mvtec_ad_2_of_another_tree_or_without_images(tmp_path: Path) -> None:
    make(tmp_path, "can/test/good/000.png")
    with pytest.raises(InputError, match=r"<class>/test_public/<kind> of its classes can, fabric"):
        layouts.get("mvtec-ad-2").samples(tmp_path)
    (tmp_path / "rice" / "test_public" / "good").mkdir(parents=True)
    with pytest.raises(InputError, match="contain images"):
        layouts.get("mvtec-ad-2").samples(tmp_path)


# --- VAD ---

VAD = ("train/good/1.png", "train/bad/2.png", "test/good/3.png", "test/bad/4.png", "test/bad_unseen_defects/5.png")


@pytest.mark.parametrize("home", ["", "vad/"])
def test_vad(home: str, tmp_path: Path) -> None:
    make(tmp_path, *(home + name for name in VAD), home + "low_shot_train.json")
    assert read("vad", tmp_path) == [
        (f"{home}train/bad/2.png", 1, "vad", "bad", None, "train"),
        (f"{home}train/good/1.png", 0, "vad", "good", None, "train"),
        (f"{home}test/bad/4.png", 1, "vad", "bad", None, "test"),
        (f"{home}test/bad_unseen_defects/5.png", 1, "vad", "bad_unseen_defects", None, "test"),
        (f"{home}test/good/3.png", 0, "vad", "good", None, "test"),
    ]


# --- Real-IAD ---


def entries(**changes: Any) -> dict[str, Any]:
    normal = {"category": "toy", "anomaly_class": "OK", "image_path": "OK/S0001/toy_0001_OK_C1.jpg", "mask_path": None}
    anomalous = {
        "category": "toy",
        "anomaly_class": "AK",
        "image_path": "NG/AK/S0002/toy_0002_NG_C1.jpg",
        "mask_path": "NG/AK/S0002/toy_0002_NG_C1.png",
    }
    meta = {"prefix": "toy/", "normal_class": "OK", "pre_transform": None}
    return {"meta": meta, "train": [normal], "test": [{**normal, "image_path": "OK/S0003/x.jpg"}, anomalous]} | changes


def real_iad(root: Path, lists: str, content: Any, images: str = "realiad_1024") -> Path:
    (root / lists).mkdir(parents=True)
    (root / lists / "toy.json").write_text(json.dumps(content))
    for name in ("OK/S0001/toy_0001_OK_C1.jpg", "OK/S0003/x.jpg", "NG/AK/S0002/toy_0002_NG_C1.jpg"):
        draw(root, f"{images}/toy/{name}")
    draw(root, f"{images}/toy/NG/AK/S0002/toy_0002_NG_C1.png", value=255)
    return root


def expected(images: str = "realiad_1024") -> list[tuple[object, ...]]:
    anomalous = f"{images}/toy/NG/AK/S0002/toy_0002_NG_C1"
    return [
        (f"{images}/toy/OK/S0001/toy_0001_OK_C1.jpg", 0, "toy", "good", None, "train"),
        (f"{images}/toy/OK/S0003/x.jpg", 0, "toy", "good", None, "test"),
        (f"{anomalous}.jpg", 1, "toy", "AK", f"{anomalous}.png", "test"),
    ]


@pytest.mark.parametrize("lists", ["realiad_jsons", "realiad_jsons/realiad_jsons"])
@pytest.mark.parametrize("images", ["realiad_1024", "realiad_256"])
def test_real_iad(lists: str, images: str, tmp_path: Path) -> None:
    assert read("real-iad", real_iad(tmp_path, lists, entries(), images)) == expected(images)


def test_other_lists_of_real_iad_are_named_by_their_folder_or_file(tmp_path: Path) -> None:
    real_iad(tmp_path, "realiad_jsons_sv", entries())
    for root in (tmp_path / "realiad_jsons_sv", tmp_path / "realiad_jsons_sv" / "toy.json"):
        found = layouts.get("real-iad").samples(root)
        assert [sample.image.relative_to(tmp_path).as_posix() for sample in found] == [one[0] for one in expected()]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([], "a list is a JSON object"),
        (entries(train={}), "train is a list"),
        (entries(test=[3]), "an entry is a JSON object"),
        (entries(test=[{"image_path": "a.jpg"}]), "an entry has the key anomaly_class"),
        (entries(meta={"prefix": 3}), "prefix is text"),
        (entries(train=[], test=[]), "names images"),
        (entries(meta={"prefix": "elsewhere/"}), "the images of a list exist"),
    ],
)
def test_a_list_of_real_iad_that_is_none_is_refused(content: Any, message: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=message):
        layouts.get("real-iad").samples(real_iad(tmp_path, "realiad_jsons", content))


def test_lists_of_real_iad_without_images_beside_them(tmp_path: Path) -> None:
    real_iad(tmp_path, "realiad_jsons", entries(), images="pictures")
    with pytest.raises(InputError, match="realiad_1024 or realiad_raw"):
        layouts.get("real-iad").samples(tmp_path)


# --- Kaputt ---

QUERIES = {
    "train": [("a", False, "", "cardboard"), ("b", True, "penetration,deformation", "plastic_loose_bag")],
    "validation": [("c", False, None, "book_paper")],
    "test": [("d", True, "spillage", "cardboard"), ("e", None, None, "paper"), ("f", True, "", None)],
}
"""Capture, whether it has a defect, the types of its defects, and the material: some of them missing."""
KAPUTT: list[tuple[Any, ...]] = [
    ("train/query-data/image/a.jpg", 0, "cardboard", "good", None, "train"),
    ("train/query-data/image/b.jpg", 1, "plastic_loose_bag", "deformation+penetration", None, "train"),
    ("validation/query-data/image/c.jpg", 0, "book_paper", "good", None, "train"),
    ("test/query-data/image/d.jpg", 1, "cardboard", "spillage", None, "test"),
    ("test/query-data/image/e.jpg", None, "paper", "unknown", None, "test"),
    ("test/query-data/image/f.jpg", 1, "other", "defect", None, "test"),
]


def kaputt(root: Path, tables: str = "datasets", images: str = "query-image/", paths: str = "data/") -> Path:
    """The tables, the images and the crops; ``paths`` is where paths in the tables begin."""
    (root / tables).mkdir(parents=True, exist_ok=True)
    for split, queries in QUERIES.items():
        at = f"{paths}{split}/query-data"
        content = [
            {
                "capture_id": name,
                "item_identifier": f"item {name}",
                "defect": defect,
                "major_defect": False,
                "defect_types": types,
                "item_material": material,
                "query_image": f"{at}/image/{name}.jpg",
                "query_crop": f"{at}/crop/{name}.jpg",
                "query_mask": f"{at}/mask/{name}.png",
            }
            for name, defect, types, material in queries
        ]
        parquet.write_table(arrow.Table.from_pylist(content), root / tables / f"query-{split}.parquet")
        for query in content:
            make(root, f"{images}{query['query_image']}", f"{images.replace('image', 'crop')}{query['query_crop']}")
            make(root, f"{images.replace('image', 'mask')}{query['query_mask']}")
    return root


@pytest.mark.parametrize(
    ("tables", "images", "paths"),
    [("datasets", "query-image/", "data/"), ("", "query-image/", "data/"), ("", "", "kaputt-release/")],
)
def test_kaputt(tables: str, images: str, paths: str, tmp_path: Path) -> None:
    root = kaputt(tmp_path, tables, images, paths)
    assert read("kaputt", root) == [(f"{images}{paths}{image}", *rest) for image, *rest in KAPUTT]


def test_the_crops_of_kaputt_are_named_by_their_folder(tmp_path: Path) -> None:
    expected = [(f"data/{image.replace('/image/', '/crop/')}", *rest) for image, *rest in KAPUTT]
    assert read("kaputt", kaputt(tmp_path) / "query-crop") == expected
    assert read("kaputt", tmp_path / "query-image") == [(f"data/{image}", *rest) for image, *rest in KAPUTT]


def test_kaputt_without_pyarrow_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kaputt(tmp_path)
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(DependencyError, match=r"read by pyarrow.*pip install 'zsad\[parquet\]'"):
        layouts.get("kaputt").samples(tmp_path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda table: table.drop_columns("defect"), "the table has the column defect; got .*columns capture_id"),
        (lambda table: table.set_column(2, "defect", arrow.array([0, 1])), "row 1: 0|defect is true or false"),
        (lambda table: table.set_column(4, "defect_types", arrow.array(["hole", "hole"])), "has no defect_types"),
        (lambda table: table.set_column(6, "query_image", arrow.array(["", "b.jpg"])), "query_image is not empty"),
        (lambda table: table.set_column(6, "query_image", arrow.array(["a", "b"])), "the images of a list exist"),
        (lambda table: table.slice(0, 0), "a list names images"),
    ],
)
def test_a_table_of_kaputt_that_is_none_is_refused(
    change: Callable[[arrow.Table], arrow.Table], message: str, tmp_path: Path
) -> None:
    file = kaputt(tmp_path) / "datasets" / "query-train.parquet"
    parquet.write_table(change(parquet.read_table(file)), file)
    with pytest.raises(InputError, match=message):
        layouts.get("kaputt").samples(tmp_path)


@pytest.mark.parametrize("content", [b"", b"PAR1 and no more", b"capture_id,defect\na,0\n"])
def test_a_file_that_is_no_table_is_named(content: bytes, tmp_path: Path) -> None:
    file = kaputt(tmp_path) / "datasets" / "query-test.parquet"
    file.write_bytes(content)
    with pytest.raises(InputError, match=r"readable Parquet file; got .*query-test\.parquet"):
        layouts.get("kaputt").samples(tmp_path)


def test_a_small_file_does_not_become_a_large_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A hundred thousand times the same text of 10 kB is a gigabyte in Python, unless it is kept once."""
    file, many = tmp_path / "table.parquet", 100_000
    repeated = arrow.DictionaryArray.from_arrays(arrow.array([0] * many, arrow.int32()), ["x" * 10_000])
    parquet.write_table(arrow.table({"text": repeated}), file)
    assert file.stat().st_size < 100_000
    assert len({id(row.values["text"]) for row in _parquet.rows(file, {"text": str})}) == 1
    monkeypatch.setattr(_parquet, "MOST_ROWS", many - 1)
    with pytest.raises(InputError, match=r"at most 99,999 rows .* got .*100,000 rows"):
        next(_parquet.rows(file, {"text": str}))

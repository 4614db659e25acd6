"""Every door through which a file of others comes in: what lies behind it, and the command that opens it."""

import csv
import json
import os
import shutil
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from importlib.resources import as_file, files
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

import zsad
from benchmarks.fuzz import samples
from benchmarks.fuzz.requests import ROUTES
from zsad.cli.main import main
from zsad.cluster.manifest import require_arrow

ROOT = Path(__file__).parents[2]
SIDE = 64
FILE = "FILE"
SMALL = ("--image-size", str(SIDE), "--device", "cpu")


@dataclass(frozen=True)
class Door:
    """A kind of file.

    Attributes:
        name: what it is.
        files: what is damaged, one at a time; patterns of paths below the folder that :func:`prepare` fills.
        command: what is typed, in a copy of that folder; ``FILE`` is the damaged one. For ``POST`` it is what
            :func:`benchmarks.fuzz.requests.post` sends.
        same: whether the answer must be that of the undamaged file (a cache), if there is one.
        needs: what :func:`prepare` has to make for it besides the cheap files.
        at_once: how many damaged files a command is given, each a case.
    """

    name: str
    files: tuple[str, ...]
    command: tuple[str, ...]
    same: bool = False
    needs: str = ""
    at_once: int = 1


def prepare(folder: Path, needs: Collection[str]) -> None:
    """Fill a folder with good files, as ``zsad`` itself and common tools write them; the folder is the current one.

    Args:
        folder: an empty one.
        needs: what takes time and only some doors need, see :class:`Door`.
    """
    _images(folder)
    zsad.load("clip", image_size=SIDE).save(folder / "card")
    for method in ("fe-clip", "acd-clip"):
        zsad.load(method, image_size=SIDE).save(folder / method)
    _weights(folder / "weights")
    _lists(folder)
    _maps(folder)
    shutil.copytree(ROOT / "recipes", folder / "recipes")
    knowledge = next(iter(sorted((ROOT / "src/zsad/knowledge/base").glob("*.json"))))
    shutil.copy(knowledge, folder / "knowledge.json")
    (folder / "images.txt").write_text("in/a.png\nin/a.png\n")
    (folder / "options.toml").write_text('class-name = "nut"\nthreshold = 0.5\nset = ["sigma=2.0"]\njson = true\n')
    for name, make in NEEDED.items():
        if name in needs:
            make()


def _done(*command: str) -> None:
    if main(command):
        raise SystemExit(f"the undamaged files must work: zsad {' '.join(command)}")


def _evaluation() -> None:
    _done("evaluate", "clip", "--data", "mvtec:data", *SMALL, "--resolution", str(SIDE), "--out", "evaluation")


def _run() -> None:
    _done("train", "fe-clip", *TRAIN, "--out", "run")


def _cache() -> None:
    _done(*PREDICT)
    shutil.rmtree("out")


def _fitted() -> None:
    """A detector with a memory and a calibration."""
    _done("fit", "winclip", *SMALL, "--normal", "data/nut/test/good", "--out", "fitted")
    _done("calibrate", "fitted", "--normal", "data/nut/test/good", "--fpr", "0.4", "--device", "cpu")


def _ensemble() -> None:
    _done("ensemble", "clip", "fe-clip", *SMALL, "--out", "both")


PREDICT = ("predict", "in/a.png", "--detector", "clip-ac", *SMALL, "--out", "out")
TRAIN = ("--data", "mvtec:data", *SMALL, "--epochs", "1", "--batch-size", "4", "--workers", "1")


def doors() -> list[Door]:
    """All doors."""
    return [
        *_detectors(),
        *_weight_doors(),
        *_exports(),
        *_data_doors(),
        *_pictures(),
        *_manifests(),
        *_recipes(),
        *_others(),
        *_requests(),
        Door("cache", ("cache/**/*",), PREDICT, same=True, needs="cache"),
    ]


def _detectors() -> Iterator[Door]:
    predict = ("predict", "in/a.png", *SMALL, "--out", "out", "--detector")
    yield Door("detector card", ("card/detector.json",), (*predict, "./card"))
    for method in ("fe-clip", "acd-clip"):
        parts = tuple(f"{method}/{name}" for name in ("detector.json", "trained_state.safetensors"))
        yield Door(f"detector {method}", parts, (*predict, f"./{method}"))
    past = tuple(f"fe-clip/{name}" for name in ("training.json", "images.txt"))
    evaluate = ("evaluate", "./fe-clip", "--data", "mvtec:data", "--resolution", "64", "--no-intervals", "--out", "out")
    yield Door("record of training", past, evaluate)
    memory = ("fitted/detector.json", "fitted/*.safetensors", "fitted/calibration.json")
    yield Door("detector, fitted", memory, (*predict[:2], "--out", "out", "--detector", "./fitted"), needs="fitted")
    parts = ("both/detector.json", "both/*/detector.json", "both/*/*.safetensors")
    yield Door("ensemble", parts, (*predict[:2], "--out", "out", "--detector", "./both"), needs="ensemble")


def _exports() -> Iterator[Door]:
    predict = ("predict", "in/a.png", "--out", "out", "--detector")
    yield Door("exported .onnx", ("exported/model.onnx",), (*predict, "exported/model.onnx"), needs="exports")
    yield Door("exported .pt2", ("exported/model.pt2",), (*predict, "exported/model.pt2"), needs="exports")
    parts = ("exported/model.xml", "exported/model.xml", "exported/model.bin")
    yield Door("exported OpenVINO", parts, (*predict, "exported/model.xml"), needs="exports")


def _requests() -> Iterator[Door]:
    for route in ROUTES:
        yield Door(
            f"request /v1/{route}", (f"requests/{route}*.form",), ("POST", route, FILE), needs="requests", at_once=12
        )


def _weight_doors() -> Iterator[Door]:
    predict = (*PREDICT, "--detector", "clip", "--weights")
    yield Door("weights .safetensors", ("weights/model.safetensors",), (*predict, "weights/model.safetensors"))
    for name in ("plain", "legacy", "scripted"):
        yield Door(f"weights .pt, {name}", (f"weights/{name}.pt",), (*predict, f"weights/{name}.pt"))
    beside = tuple(f"weights/{name}" for name in ("config.json", "preprocessor_config.json", "merges.txt.gz"))
    yield Door("beside weights", beside, (*predict, "weights"))


def _data_doors() -> Iterator[Door]:
    check = ("data", "check")
    yield Door("list .jsonl", ("data/list.jsonl",), (*check, "jsonl:data/list.jsonl"))
    yield Door("list meta.json", ("data/meta.json",), (*check, "meta-json:data"))
    yield Door("split of VisA", ("visa/split_csv/1cls.csv",), (*check, "visa:visa"))
    yield Door("labels of HeadCT", ("headct/labels.csv",), (*check, "head-ct:headct"))
    masks = ("data/nut/ground_truth/crack/0_mask.png", "data/labelme.json")
    evaluate = ("evaluate", "clip", "--data", "jsonl:data/list.jsonl", *SMALL, "--resolution", "64", "--no-intervals")
    yield Door("mask", masks, (*evaluate, "--out", "out"))


def _pictures() -> Iterator[Door]:
    predict = ("predict", FILE, *SMALL, "--out", "out")
    yield Door("image", ("kinds/a.*",), predict, at_once=20)
    yield Door("image of any format", ("formats/*",), predict, needs="formats", at_once=20)
    yield Door("image, by tiles", ("kinds/a.*",), (*predict, "--tile", "40"), at_once=10)
    yield Door("series", ("series/*",), (*predict, "--frames", ":3"), needs="series", at_once=10)


def _manifests() -> Iterator[Door]:
    for kind in ("csv", "jsonl", "parquet"):
        yield Door(f"manifest .{kind}", (f"data/manifest.{kind}",), (*_shard_run(kind), "--out", "out"), needs="shards")
    parts = ("shards/plan.json", "shards/shards/part-00000.parquet", "shards/shards/part-00001.parquet")
    yield Door("shards, resumed", parts, (*_shard_run("csv"), "--out", "shards"), needs="shards")


def _shard_run(kind: str) -> tuple[str, ...]:
    return ("predict", f"data/manifest.{kind}", "--engine", "local", "--detector", "clip", *SMALL, "--shard-size", "2")


def _shards() -> None:
    """A run over a manifest in the folder where this is called; in a process of its own, for Arrow starts threads."""
    import pandas  # noqa: F401  # which Arrow would import in every case

    arrow = require_arrow()
    paths = [str(path.absolute()) for path in sorted(Path("data/nut/test").glob("*/*.png"))[:4]]
    table = arrow.table({"path": paths, "class_name": ["nut", "bolt", "nut", None]})
    Path("data/manifest.csv").write_text("path,class_name\n" + "".join(f"{path},nut\n" for path in paths))
    Path("data/manifest.jsonl").write_text("".join(json.dumps(row) + "\n" for row in table.to_pylist()))
    arrow.parquet.write_table(table, "data/manifest.parquet")
    child = os.fork()
    if child == 0:
        os._exit(main([*_shard_run("csv"), "--out", "shards"]))
    if os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]):
        raise SystemExit("the undamaged manifest must work")


def _recipes() -> Iterator[Door]:
    # --dry-run reads everything that a recipe of a benchmark says; a recipe of training is read before its data are.
    train = ("train", "recipes/fe-clip/paper.toml", "--data", "mvtec:nowhere", "--backbone", "tiny", "--out", "out")
    yield Door("recipe of training", ("recipes/fe-clip/paper.toml",), train)
    benchmark = ("benchmark", "recipes/benchmark/small.toml", "--data-root", "data", "--out", "out", "--dry-run")
    yield Door("recipe of a benchmark", ("recipes/benchmark/small.toml",), benchmark)
    pretrain = ("pretrain", "--recipe", "recipes/tiny/tiny.toml", "--corpus", "nowhere", "--out", "out")
    yield Door("recipe of pretraining", ("recipes/tiny/tiny.toml",), pretrain)


def _others() -> Iterator[Door]:
    yield Door("knowledge", ("knowledge.json",), ("knowledge", "show", "metal nut", "--file", "knowledge.json"))
    names = ("class.json", "images.csv", "curves.json", "counts.npz", "draws.npz")
    parts = ("evaluation/evaluation.json", *(f"evaluation/classes/data/nut/{name}" for name in names))
    yield Door("evaluation, compared", parts, ("compare", "evaluation", "evaluation"), needs="evaluation")
    again = ("evaluate", "clip", "--data", "mvtec:data", *SMALL, "--resolution", str(SIDE), "--out", "evaluation")
    yield Door("evaluation, resumed", (*parts, "evaluation/plan.json"), again, needs="evaluation")
    gallery = ("gallery", "./card", "--data", "mvtec:data", "--out", "out.png")
    yield Door("image of a data set", ("data/nut/test/crack/0.png",), gallery)
    listed = ("predict", "@images.txt", "--detector", "clip", *SMALL, "--out", "out")
    yield Door("list of images", ("images.txt",), listed)
    configured = ("predict", "in/a.png", "--config", "options.toml", "--detector", "clip", *SMALL, "--out", "out")
    yield Door("configuration", ("options.toml",), configured)
    judged = ("evaluate", "--maps", "maps", "--data", "mvtec:data", "--resolution", str(SIDE), "--no-intervals")
    scores = ("--scores", "maps/scores.csv", "--out", "out")
    yield Door("maps of another tool", ("maps/scores.csv", *MAPS), (*judged, *scores))
    run = ("run/resume.safetensors", "run/training.json", "run/detector.json")
    yield Door("run, resumed", run, ("train", "fe-clip", *TRAIN, "--resume", "--out", "run"), needs="run")


def _images(folder: Path) -> None:
    draw = np.random.default_rng(0)
    for number in range(4):
        for kind in ("good", "crack"):
            pixels = draw.normal(128, 10, (SIDE, SIDE, 3)).clip(0, 255).astype(np.uint8)
            mask = np.zeros((SIDE, SIDE), np.uint8)
            mask[10 + number : 22 + number, 20:32] = 255 * (kind == "crack")
            pixels[mask > 0] = (230, 20, 20)
            _save(pixels, folder / f"data/nut/test/{kind}/{number}.png")
            if kind == "crack":
                _save(mask, folder / f"data/nut/ground_truth/crack/{number}_mask.png")
    points = {"shapes": [{"label": "d", "points": [[20, 11], [31, 11], [31, 22]], "shape_type": "polygon"}]}
    (folder / "data/labelme.json").write_text(json.dumps(points | {"imageHeight": SIDE, "imageWidth": SIDE}))
    (folder / "in").mkdir()
    shutil.copy(folder / "data/nut/test/crack/0.png", folder / "in/a.png")
    for kind in ("png", "jpg", "tif", "webp", "gif", "ppm", "bmp", "avif", "jp2"):
        _save(draw.integers(0, 255, (SIDE, SIDE, 3), np.uint8), folder / f"kinds/a.{kind}")
    from pydicom.data import get_testdata_file

    shutil.copy(str(get_testdata_file("CT_small.dcm", download=False)), folder / "kinds/a.dcm")


MAPS = tuple(
    f"maps/nut/test/{kind}/{number}.{suffix}"
    for kind in ("good", "crack")
    for number, suffix in enumerate(("npy", "png", "tif", "tiff"))
)


def _maps(folder: Path) -> None:
    draw, rows = np.random.default_rng(0), ["source,score"]
    for name in MAPS:
        values, path = draw.random((SIDE, SIDE)).astype(np.float32), folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix == ".npy":
            np.save(path, values)
        else:
            Image.fromarray(values if path.suffix == ".tif" else (values * 65535).astype(np.uint16)).save(path)
        rows.append(f"{path.relative_to(folder / 'maps').with_suffix('.png')},{values.mean()}")
    (folder / "maps/scores.csv").write_text("\n".join(rows))


def _save(pixels: np.ndarray, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


def _weights(folder: Path) -> None:
    folder.mkdir()
    with as_file(files("zsad") / "assets/tiny") as own:
        state = load_file(own / "model.safetensors")
        shutil.copy(own / "merges.txt.gz", folder)
    save_file(state, folder / "model.safetensors")
    torch.save(state, folder / "plain.pt")
    torch.save({"state_dict": state, "epoch": 3}, folder / "legacy.pt", _use_new_zipfile_serialization=False)
    torch.jit.script(_tree(state)).save(str(folder / "scripted.pt"))
    (folder / "config.json").write_text(json.dumps({"vision_config": {"hidden_act": "quick_gelu"}}))
    pixels = {"image_mean": [0.48, 0.46, 0.41], "image_std": [0.27, 0.26, 0.28]}
    (folder / "preprocessor_config.json").write_text(json.dumps(pixels))


def _tree(state: dict[str, torch.Tensor]) -> torch.nn.Module:
    """Modules that hold the tensors under their names, as a TorchScript archive does."""
    root = torch.nn.Module()
    for name, tensor in state.items():
        *path, last = name.split(".")
        module = root
        for part in path:
            if part not in module._modules:
                module.add_module(part, torch.nn.Module())
            module = module.get_submodule(part)
        module.register_buffer(last, tensor)
    return root


def _lists(folder: Path) -> None:
    rows: list[dict[str, object]] = [
        {"image_path": f"nut/test/{kind}/{number}.png", "label": int(kind == "crack"), "class_name": "nut"}
        for kind in ("good", "crack")
        for number in range(4)
    ]
    rows[4]["mask_path"], rows[5]["mask_path"] = "nut/ground_truth/crack/0_mask.png", "labelme.json"
    (folder / "data/list.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    entries = [
        {"img_path": row["image_path"], "mask_path": "", "cls_name": "nut", "anomaly": row["label"]} for row in rows
    ]
    (folder / "data/meta.json").write_text(json.dumps({"train": {}, "test": {"nut": entries}}))
    _visa(folder)
    for number in range(4):
        target = folder / f"headct/head_ct/{number:03}.png"
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(folder / "in/a.png", target)
    (folder / "headct/labels.csv").write_text("id, hemorrhage\n0,1\n1,1\n2,0\n3,0\n")


def _visa(folder: Path) -> None:
    rows = []
    for label, where in (("normal", "Normal"), ("anomaly", "Anomaly")):
        target = folder / f"visa/candle/Data/Images/{where}/000.JPG"
        target.parent.mkdir(parents=True, exist_ok=True)
        Image.open(folder / "in/a.png").save(target)
        mask = "candle/Data/Masks/Anomaly/000.png" * (label == "anomaly")
        rows.append(("candle", "test", label, f"candle/Data/Images/{where}/000.JPG", mask))
    _save(np.eye(SIDE, dtype=np.uint8) * 255, folder / "visa/candle/Data/Masks/Anomaly/000.png")
    (folder / "visa/split_csv").mkdir()
    with (folder / "visa/split_csv/1cls.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("object", "split", "label", "image", "mask"), *rows])


NEEDED: Mapping[str, Callable[[], None]] = {
    "evaluation": _evaluation,
    "run": _run,
    "cache": _cache,
    "fitted": _fitted,
    "ensemble": _ensemble,
    "shards": _shards,
    "exports": samples.exports,
    "formats": samples.formats,
    "series": samples.series,
    "requests": samples.requests,
}
"""What takes time, by the name that a door needs it by; made in the current folder."""

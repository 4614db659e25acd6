"""Good files that other programs would write: exported graphs, series of images, every format, requests."""

import json
import os
from collections.abc import Callable
from fractions import Fraction
from hashlib import sha256
from pathlib import Path
from zipfile import ZipFile

import numpy as np
from PIL import Image

SIDE, FRAMES = 64, 6


def exports() -> None:
    """A graph of a few nodes with the card of an exported detector, as ONNX and for OpenVINO."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    from zsad.export.card import KEY, ExportCard
    from zsad.export.protobuf import entry

    shape = ["batch", 3, SIDE, SIDE]
    kernel = np.random.default_rng(0).normal(size=(1, 3, 5, 5)).astype(np.float32)
    nodes = [
        helper.make_node("Conv", ["image", "kernel"], ["c"], pads=[2, 2, 2, 2]),
        helper.make_node("Sigmoid", ["c"], ["s"]),
        helper.make_node("Squeeze", ["s", "axes"], ["map"]),
        helper.make_node("ReduceMax", ["map"], ["score"], axes=[1, 2], keepdims=0),
    ]
    graph = helper.make_graph(
        nodes,
        "graph",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, shape)],
        [
            helper.make_tensor_value_info("map", TensorProto.FLOAT, ["batch", SIDE, SIDE]),
            helper.make_tensor_value_info("score", TensorProto.FLOAT, ["batch"]),
        ],
        [numpy_helper.from_array(kernel, "kernel"), numpy_helper.from_array(np.array([1]), "axes")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    card = ExportCard("conv", "clip", "tiny", "embedded", SIDE, "object", False, "0" * 64, "0", "2026", threshold=0.5)
    content, folder = model.SerializeToString(), Path("exported")
    folder.mkdir()
    (folder / "model.onnx").write_bytes(content + entry(KEY, card.to_json()))
    with ZipFile(folder / "model.pt2", "w") as archive:  # refused unread, whatever is in it
        archive.writestr("model/data.pkl", content)
    in_a_child(lambda: _openvino(content, card.to_json(), KEY, folder))


def in_a_child(make: Callable[[], None]) -> None:
    """Do what starts threads: this process forks."""
    child = os.fork()
    if child == 0:
        make()
        os._exit(0)
    if os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]):
        raise SystemExit("a good file cannot be made")


def _openvino(content: bytes, card: str, key: str, folder: Path) -> None:
    import openvino

    model = openvino.Core().read_model(model=content)
    openvino.save_model(model, folder / "model.xml", compress_to_fp16=False)
    model.set_rt_info(card, [key, "card"])
    model.set_rt_info(sha256((folder / "model.bin").read_bytes()).hexdigest(), [key, "weights"])
    openvino.save_model(model, folder / "model.xml", compress_to_fp16=False)


def series() -> None:
    """Pages, animations, volumes and a video."""
    import nibabel
    from pydicom.data import get_testdata_file

    draw, folder = np.random.default_rng(0), Path("series")
    folder.mkdir()
    still = [Image.fromarray(draw.integers(0, 255, (32, 40, 3), np.uint8)) for _ in range(FRAMES)]
    for suffix in ("tif", "gif", "png", "webp"):
        still[0].save(folder / f"a.{suffix}", save_all=True, append_images=still[1:])
    for name, kind in (("a.nii", np.int16), ("b.nii.gz", np.float32)):
        nibabel.save(
            nibabel.Nifti1Image(draw.integers(0, 999, (20, 24, FRAMES)).astype(kind), np.eye(4)), folder / name
        )
    nibabel.save(
        nibabel.Nifti2Image(draw.integers(0, 255, (20, 24, FRAMES)).astype(np.uint8), np.eye(4)), folder / "c.nii"
    )
    frames = Path(str(get_testdata_file("rtdose.dcm", download=False)))
    (folder / "a.dcm").write_bytes(frames.read_bytes())
    in_a_child(lambda: _video(folder / "a.mp4", still))


def _video(path: Path, still: list[Image.Image]) -> None:
    import av

    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=Fraction(25))
        stream.width, stream.height, stream.pix_fmt = 40, 32, "yuv420p"
        for image in still:
            container.mux(stream.encode(av.VideoFrame.from_image(image)))
        container.mux(stream.encode())


def formats() -> None:
    """Every format of images that is read, as the tests make them by other programs."""
    from tests.data.formats import FORMATS

    folder = Path("formats")
    folder.mkdir()
    for number, one in enumerate(FORMATS):
        if not one.is_mask and not isinstance(one.expected, str):
            (folder / f"{number:03}{Path(one.name).suffix}").write_bytes(one.make())


def requests() -> None:
    """Bodies of forms, with the boundary that :mod:`benchmarks.fuzz.requests` says."""
    from benchmarks.fuzz.requests import form

    folder = Path("requests")
    folder.mkdir()
    image = Path("in/a.png").read_bytes()
    fields = {"class_name": "nut", "maps": "png", "map_side": "32", "threshold": "0.5", "pixel_threshold": "0.3"}
    more = {"detector": "winclip", "regions": "true", "min_area": "2", "pixel_threshold": "0.3", "together": "false"}
    (folder / "predict-1.form").write_bytes(form(fields, [("images", "a.png", image), ("images", "é.png", image)]))
    (folder / "predict-2.form").write_bytes(form(more, [("images", "a.png", image), ("normal", "b.png", image)]))
    Image.fromarray(np.random.default_rng(0).integers(0, 65535, (16, 16), np.uint16)).save("map.png")
    asked = {"pixel_threshold": "0.9", "sizes": json.dumps([[64, 64], [32, 16]]), "format": "coco"}
    maps = [("maps", name, Path("map.png").read_bytes()) for name in ("a.png", "b.png")]
    (folder / "regions.form").write_bytes(form(asked, maps))

"""``zsad.export.export``: a detector as one graph in a file, which is kept only if it gives the same answers."""

import os
import warnings
from collections.abc import Callable, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from hashlib import sha256
from importlib.metadata import version
from io import BytesIO, StringIO
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from torch import fx

from zsad.config import check_class_name
from zsad.data.decode import Source
from zsad.errors import ConfigError, InputError
from zsad.export import SUFFIXES
from zsad.export.batching import THREE, TWO, FixedBatchError, any_batch
from zsad.export.card import KEY, ExportCard
from zsad.export.exported import ExportedDetector
from zsad.export.int8 import in_int8
from zsad.export.parity import TOLERANCE, difference
from zsad.export.protobuf import entry
from zsad.export.rewriting import rewrite
from zsad.export.sessions import IMAGE, MAP, SCORE, OnnxSession, OpenVinoSession, Result, Session, loaded
from zsad.export.tracing import ScoredImages, trace
from zsad.files import write_atomically
from zsad.locks import alone_with
from zsad.methods import FewShot, Method, TransductiveMethod
from zsad.predictor import Detector

OPSET = 18
"""Of ONNX; sums over repeated indices and antialiasing need 16 and 18."""
MOST_BYTES = 2**31 - 2**24
"""A message of Protocol Buffers has less than 2 GiB."""
REMEDY = "run it with zsad predict and PyTorch"


@dataclass(frozen=True)
class Graph:
    """A traced detector.

    Attributes:
        module: the graph.
        images: that it was traced with.
        batch: how many images it takes at once; None for any number.
    """

    module: fx.GraphModule
    images: torch.Tensor
    batch: int | None


def export(
    detector: Detector,
    path: str | os.PathLike[str],
    class_name: str = "object",
    *,
    int8: bool = False,
    normal: Sequence[Source] = (),
) -> ExportCard:
    """Write a detector as one graph, from a picture to its map and its score.

    The normalisation, the prompts of the class, learned weights and banks are in the graph; thresholds, the calibration
    and what the detector is are in the metadata of its file. A file is written only where maps and scores of test
    images differ from those of the detector by at most ``TOLERANCE``.

    Args:
        detector: on the CPU, in fp32.
        path: of the file; its suffix is that of a format.
        class_name: what the images will show.
        int8: whether its towers multiply in 8 bits (:mod:`zsad.export.int8`), in a graph for one image at a time: maps
            then differ by more, which is measured and stated in the card, and a calibration is left out.
        normal: with int8, normal images of the class: the loss is measured on them, and a calibration for a
            false-positive rate is made again.

    Raises:
        ConfigError: the detector scores images by one another, has to be fitted first, is not in fp32 on the CPU, has
            an operation that the format does not know, or gives other answers as a graph.
        InputError: the file cannot be written, or a normal image cannot be used.
    """
    file = Path(path)
    write = WRITERS.get(file.suffix)
    if write is None:
        raise ConfigError(f"an exported file ends in {', '.join(WRITERS)}", str(file), "name another file")
    if int8 and write is not _write_onnx:
        raise ConfigError("int8 is written as ONNX", str(file), "choose --format onnx")
    if normal and not int8:
        raise ConfigError("normal images are for --int8", f"{len(normal)} for fp32", "leave them out, or say --int8")
    check_class_name(class_name)
    _check_exportable(detector)
    graph = traced(detector.method, detector.image_size, class_name, one=int8)
    found = card(detector, class_name, graph.batch)
    try:
        with alone_with(file):  # which also removes what a killed export left beside it
            return _write_int8(graph, found, detector, file, normal) if int8 else write(graph, found, detector, file)
    except OSError as error:
        raise InputError("the file must be writable", error, "choose another") from error


def traced(method: Method, side: int, class_name: str, one: bool = False) -> Graph:
    """The graph of a method, for any number of images where that is possible.

    Args:
        method, side, class_name: as :class:`zsad.export.tracing.ScoredImages` takes them.
        one: whether it is for one image at a time in any case.

    Raises:
        ConfigError: what the method does depends on the values of the picture.
    """
    scored = ScoredImages(method, side, class_name).eval()
    images = torch.rand(THREE, 3, side, side, generator=torch.Generator().manual_seed(0))

    def graph_of(count: int) -> fx.GraphModule:
        graph = trace(scored, images[:count])
        rewrite(graph)
        return graph

    try:
        if one:
            return Graph(graph_of(1), images[:1], 1)
        try:
            return Graph(any_batch(graph_of(TWO), graph_of(THREE)), images, None)
        except FixedBatchError:
            return Graph(graph_of(1), images[:1], 1)
    except RuntimeError as error:  # what cannot be recorded
        raise _not_exportable(type(method).__name__, error) from error


def card(detector: Detector, class_name: str, batch: int | None) -> ExportCard:
    """What the file of a detector says of it."""
    about, calibration = detector.identity, detector.calibration
    calibrated = calibration.pixel_threshold if calibration else None
    return ExportCard(
        name=detector.name,
        method=about.method,
        backbone=about.backbone,
        weights=about.weights,
        image_size=about.image_size,
        class_name=class_name,
        uses_class_names=detector.method.uses_class_names,
        fingerprint=detector.fingerprint,
        version=version("zsad"),
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        batch=batch,
        threshold=detector.card.threshold,
        pixel_threshold=None if detector.pixel_threshold == calibrated else detector.pixel_threshold,
        calibration=calibration,
        value_range=detector.value_range,
        memory=detector.memory_summary,
        warnings=tuple(detector.memory_warnings(class_name)),
    )


def onnx_bytes(graph: Graph) -> bytes:
    """The graph as a message of ONNX.

    Raises:
        ConfigError: it has an operation that ONNX does not have, or is too large for a file.
    """
    size = sum(value.nbytes for value in graph.module.buffers())
    if size > MOST_BYTES:
        raise ConfigError("an ONNX file has less than 2 GiB", f"{size / 2**30:.1f} GiB", "choose --format pt2")
    axes = {name: {0: "batch"} for name in (IMAGE, MAP, SCORE)} if graph.batch is None else {}
    with TemporaryDirectory() as folder, warnings.catch_warnings(), redirect_stdout(StringIO()), torch.no_grad():
        warnings.simplefilter("ignore")  # of the tracer, about shapes; the parity check says more
        torch.onnx.export(
            graph.module,
            (graph.images,),
            Path(folder, "graph.onnx"),
            dynamo=False,
            opset_version=OPSET,
            input_names=[IMAGE],
            output_names=[MAP, SCORE],
            dynamic_axes=axes,
        )
        return Path(folder, "graph.onnx").read_bytes()


def _write_onnx(graph: Graph, found: ExportCard, detector: Detector, path: Path) -> ExportCard:
    content, found = _checked_onnx(graph, found, detector, path)
    write_atomically(path, content + entry(KEY, found.to_json()))
    return found


def _write_int8(
    graph: Graph, found: ExportCard, detector: Detector, path: Path, normal: Sequence[Source]
) -> ExportCard:
    content, found = in_int8(*_checked_onnx(graph, found, detector, path), detector, str(path), normal)
    write_atomically(path, content + entry(KEY, found.to_json()))
    return found


def _checked_onnx(graph: Graph, found: ExportCard, detector: Detector, path: Path) -> tuple[bytes, ExportCard]:
    content = _converted(lambda: onnx_bytes(graph), found)
    try:
        session = OnnxSession(content, str(path), "cpu", found.image_size)
    except InputError as error:  # a graph that the exporter wrote and the runtime does not take
        raise _not_exportable(found.method, error) from error
    return content, _checked(detector, found, session, path)


def _write_openvino(graph: Graph, found: ExportCard, detector: Detector, path: Path) -> ExportCard:
    runtime = loaded("openvino", "openvino")
    model = runtime.Core().read_model(model=_converted(lambda: onnx_bytes(graph), found))
    found = _checked(detector, found, OpenVinoSession(model, str(path), "cpu", found.image_size), path)
    with TemporaryDirectory() as folder:
        written = Path(folder, "graph.xml")
        runtime.save_model(model, written, compress_to_fp16=False)
        weights = written.with_suffix(".bin").read_bytes()
        model.set_rt_info(found.to_json(), [KEY, "card"])
        model.set_rt_info(sha256(weights).hexdigest(), [KEY, "weights"])
        runtime.save_model(model, written, compress_to_fp16=False)
        write_atomically(path.with_suffix(".bin"), weights)
        write_atomically(path, written.read_bytes())
    return found


def _write_pt2(graph: Graph, found: ExportCard, detector: Detector, path: Path) -> ExportCard:
    """For programs of others: reading such a file can run what is in it, so that zsad reads none."""
    axes = ({0: torch.export.Dim("batch", min=1)},) if graph.batch is None else None
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        program = torch.export.export(graph.module, (graph.images,), dynamic_shapes=axes)
        found = _checked(detector, found, _ProgramSession(program), path)
        buffer = BytesIO()
        torch.export.save(program, buffer, extra_files={f"{KEY}.json": found.to_json()})
    write_atomically(path, buffer.getvalue())
    return found


class _ProgramSession(Session):
    """A program of ``torch.export``."""

    def __init__(self, program: torch.export.ExportedProgram) -> None:
        self.device, self._run = "cpu", program.module()

    def __call__(self, images: np.ndarray) -> Result:
        with torch.no_grad():
            maps, scores = self._run(torch.from_numpy(images))
        return maps.numpy(), scores.numpy()


Writer = Callable[[Graph, ExportCard, Detector, Path], ExportCard]
WRITERS: dict[str, Writer] = {
    SUFFIXES["onnx"]: _write_onnx,
    SUFFIXES["openvino"]: _write_openvino,
    SUFFIXES["pt2"]: _write_pt2,
}
"""By the suffix of the file."""


def _checked(detector: Detector, found: ExportCard, session: Session, path: Path) -> ExportCard:
    """The card, with how far the answers are from those of the detector.

    Raises:
        ConfigError: they are not the same.
    """
    apart = difference(detector, ExportedDetector(found, session, str(path)), found.class_name)
    if not apart <= TOLERANCE:
        rule = f"an exported graph gives maps and scores that differ by at most {TOLERANCE:g}"
        raise ConfigError(rule, f"{apart:.2g} for {found.method}; nothing was written", REMEDY)
    return replace(found, difference=apart)


def _converted(convert: Callable[[], bytes], found: ExportCard) -> bytes:
    try:
        return convert()
    except RuntimeError as error:  # the exporter's errors are of this class
        raise _not_exportable(found.method, error) from error


def _not_exportable(method: str, error: Exception) -> ConfigError:
    reason = str(error).strip().splitlines()[0]
    if "value out of a tracing tensor" in reason:
        reason = "what it computes depends on the values of a picture, as in a loop that ends when nothing changes"
    return ConfigError("the method can be written as one graph", f"{method}: {reason}", REMEDY)


def _check_exportable(detector: Detector) -> None:
    method, name = detector.method, detector.card.method
    if detector.runtime.device_type != "cpu" or detector.runtime.precision != "fp32":
        value = f"{detector.runtime.device}, {detector.runtime.precision}"
        raise ConfigError("a detector is exported from the CPU, in fp32", value, "load it so: --device cpu")
    if detector.tiling is not None or detector.value_range is not None:
        rule, value = (
            "an exported detector takes images whole, in their own range",
            "tiles" if detector.tiling else "a range",
        )
        raise ConfigError(rule, f"{name} with {value}", "set tiling and value_range to None, or use it as it is")
    needs = isinstance(method, FewShot) and method.needs_normal and not method.is_few_shot
    if needs or (isinstance(method, TransductiveMethod) and method.scores_folder(TWO)):
        rule = "an exported detector scores each image alone"
        remedy = "fit it first: zsad fit" if isinstance(method, FewShot) else "choose another method"
        raise ConfigError(rule, f"{name}, which needs other images", remedy)

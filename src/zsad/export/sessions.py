"""Running a graph of a file, by the runtime of its format."""

import os
from abc import ABC, abstractmethod
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float32

from zsad.errors import ConfigError, DependencyError, InputError
from zsad.export.card import KEY, ExportCard, foreign, from_json
from zsad.export.protobuf import damaged, metadata
from zsad.files import open_file

Result = tuple[Float32[np.ndarray, "batch rows cols"], Float32[np.ndarray, "batch"]]
IMAGE, MAP, SCORE = "image", "map", "score"
"""Names of input and outputs."""


class Session(ABC):
    """A loaded graph.

    Attributes:
        device: where it runs.
    """

    device: str

    @abstractmethod
    def __call__(self, images: Float32[np.ndarray, "batch 3 side side"]) -> Result:
        """Maps and scores of images, RGB in [0, 1]."""


def cores() -> int:
    """How many this process may use: those of its affinity, or fewer that ``OMP_NUM_THREADS`` says, as for PyTorch."""
    most = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    asked = os.environ.get("OMP_NUM_THREADS", "")
    return min(most, int(asked)) if asked.isdecimal() and int(asked) else most


class OnnxSession(Session):
    """A graph that ONNX Runtime runs."""

    def __init__(self, content: bytes, source: str, device: str, side: int) -> None:
        runtime = loaded("onnxruntime", "export")
        options = runtime.SessionOptions()
        options.intra_op_num_threads, options.log_severity_level = cores(), 4
        self.device, provider = _provider(runtime, device)
        try:
            self._session = runtime.InferenceSession(content, options, providers=[provider])
        except Exception as error:  # the runtime has classes of its own for what it cannot load
            raise damaged(source, _first_line(error)) from error
        inputs = self._session.get_inputs()
        names = {value.name for value in (*inputs, *self._session.get_outputs())}
        if names != {IMAGE, MAP, SCORE} or inputs[0].shape[1:] != [3, side, side]:
            raise foreign(source)

    def __call__(self, images: Float32[np.ndarray, "batch 3 side side"]) -> Result:
        maps, scores = self._session.run([MAP, SCORE], {IMAGE: images})
        return maps, scores


def load_onnx(path: Path, device: str) -> tuple[ExportCard, Session]:
    """The card and the graph of an ONNX file.

    Raises:
        InputError: it is damaged, or zsad did not write it.
        DependencyError: ONNX Runtime is not installed.
        ConfigError: it does not have the device.
    """
    with open_file(path) as file:
        content = file.read()
    found = metadata(content, str(path))
    if KEY not in found:
        raise foreign(str(path))
    card = from_json(found[KEY], str(path))
    return card, OnnxSession(content, str(path), device, card.image_size)


class OpenVinoSession(Session):
    """A graph that OpenVINO runs, in fp32 also where the machine has bf16.

    Args:
        model: of OpenVINO.
        source: the file, for errors.
        device: ``"cpu"``, or what OpenVINO calls others, such as ``"gpu"``.
        side: of the images in px.
    """

    def __init__(self, model: Any, source: str, device: str, side: int) -> None:
        runtime = loaded("openvino", "openvino")
        core, known = runtime.Core(), {name.lower(): name for name in runtime.Core().available_devices}
        self.device = "cpu" if device == "auto" else device
        if self.device not in known:
            rule = f"OpenVINO runs an exported detector here on {' or '.join(known)}"
            raise ConfigError(rule, device, "say --device auto")
        try:
            names = {name for value in (*model.inputs, *model.outputs) for name in value.names}
            shape = [axis.get_length() for axis in list(model.input(IMAGE).partial_shape)[1:]]
            if names < {IMAGE, MAP, SCORE} or shape != [3, side, side]:
                raise foreign(source)
            settings = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": cores()}
            self._compiled = core.compile_model(model, known[self.device], settings if self.device == "cpu" else {})
        except RuntimeError as error:  # the runtime's own is of this class
            raise damaged(source, _first_line(error)) from error

    def __call__(self, images: Float32[np.ndarray, "batch 3 side side"]) -> Result:
        found = self._compiled({IMAGE: images})
        return np.array(found[MAP]), np.array(found[SCORE])


def load_openvino(path: Path, device: str) -> tuple[ExportCard, Session]:
    """The card and the graph of a description (.xml) and its weights (.bin) of OpenVINO.

    Raises:
        InputError: one is missing or damaged, they do not belong together, or zsad did not write them.
        DependencyError: OpenVINO is not installed.
        ConfigError: it does not have the device.
    """
    with open_file(path) as description, open_file(path.with_suffix(".bin")) as numbers:
        text, weights = description.read(), numbers.read()
    runtime = loaded("openvino", "openvino")
    try:
        model = runtime.Core().read_model(model=text, weights=weights)
        information = model.get_rt_info() if model.has_rt_info([KEY]) else {}
        found = {name: str(model.get_rt_info([KEY, name]).astype(str)) for name in ("card", "weights") if information}
    except RuntimeError as error:
        raise damaged(str(path), _first_line(error)) from error
    if not found:
        raise foreign(str(path))
    if sha256(weights).hexdigest() != found["weights"]:
        raise damaged(str(path.with_suffix(".bin")), "these are not the weights of the .xml beside them")
    card = from_json(found["card"], str(path))
    return card, OpenVinoSession(model, str(path), device, card.image_size)


LOADERS: dict[str, Callable[[Path, str], tuple[ExportCard, Session]]] = {
    ".onnx": load_onnx,
    ".xml": load_openvino,
}
"""By the suffix of the file."""


def _provider(runtime: Any, device: str) -> tuple[str, str]:
    """The device, and what ONNX Runtime calls it."""
    providers = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}
    known = {name: provider for name, provider in providers.items() if provider in runtime.get_available_providers()}
    chosen = ("cuda" if "cuda" in known else "cpu") if device == "auto" else device
    if chosen not in known:
        rule = f"ONNX Runtime runs an exported detector here on {' or '.join(known)}"
        raise ConfigError(rule, device, "say --device auto")
    return chosen, known[chosen]


def loaded(package: str, extra: str) -> Any:
    """A package of an extra.

    Raises:
        DependencyError: it is not installed.
    """
    from importlib import import_module

    try:
        return import_module(package)
    except ImportError as error:
        rule = f"this format needs {package}"
        raise DependencyError(rule, "a Python without it", f"run: pip install 'zsad[{extra}]'") from error


def _first_line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)


def checked(result: Result, count: int, side: int, source: str) -> Result:
    """What a graph gave, if it is what its card promises.

    Raises:
        InputError: it has another shape.
    """
    maps, scores = result
    if maps.shape != (count, side, side) or scores.shape != (count,):
        value = f"{maps.shape} and {scores.shape} of {source}"
        raise InputError(f"the graph gives maps of {side}×{side} px and scores", value, "export the detector again")
    return maps, scores

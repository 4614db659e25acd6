"""Exported detectors whose towers multiply in 8 bits, with the measured loss in their cards.

Of an ONNX graph, the products of tokens with weights of the towers: weights in int8 with a scale for each output
(symmetric), tokens in uint8 with a scale for each product, found as it runs (dynamic quantization of ONNX Runtime). So
no images are needed; static ranges from images were neither faster nor nearer to fp32. What makes the map (products
with text and banks, resizing, smoothing), attention itself and convolutions stay in fp32.
"""

import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from zsad import calibrator
from zsad.backbones.clip import Clip
from zsad.calibration import Calibration
from zsad.data.decode import Source
from zsad.errors import ConfigError, InputError
from zsad.export.card import ExportCard, Loss
from zsad.export.exported import ExportedDetector
from zsad.export.parity import drawn, loss
from zsad.export.sessions import OnnxSession, loaded
from zsad.predictor import Detector, calibration_images

MAP_MEAN, MAP_MAX, CORRELATION = 0.01, 0.1, 0.99
"""A file is kept where maps differ from those in fp32 by no more, on their scale of [0, 1], and their correlation is at
least that, which says the same of maps that use a small part of the scale."""


def in_int8(
    content: bytes, card: ExportCard, detector: Detector, source: str, normal: Sequence[Source] = ()
) -> tuple[bytes, ExportCard]:
    """The graph in int8, and its card with the measured loss.

    A calibration is of scores in fp32: it is left out. Where normal images are given, and it is one for a
    false-positive rate, the graph in int8 is calibrated on them at the same rate.

    Args:
        content: the graph in fp32, of ONNX.
        card: of that graph.
        detector: that it was made of.
        source: the file, for errors.
        normal: images that the loss is measured on; by default some are drawn.

    Raises:
        ConfigError: the graph has no products with weights of the towers, or gives too different maps.
        InputError: a normal image cannot be read, or there are too few.
    """
    small = quantized(content, detector.method.clip)
    session = OnnxSession(small, source, "cpu", card.image_size)
    card = replace(card, precision="int8", calibration=None)
    exported = ExportedDetector(card, session, source)
    of = f"normal images of {card.class_name}" if normal else "drawn images"
    found = loss(detector, exported, card.class_name, normal or drawn(), of)
    _check(found, card.method)
    card = replace(card, difference=max(found.map_max, found.score_max), loss=found)
    if normal and detector.calibration and detector.calibration.criterion == "fpr":
        card = replace(card, calibration=recalibrated(exported, detector, detector.calibration, normal))
    return small, card


def _check(found: Loss, method: str) -> None:
    """Refuses too large a loss, and one that is no number.

    Raises:
        ConfigError: it is.
    """
    related = found.map_correlation is None or found.map_correlation >= CORRELATION
    if not (found.map_max <= MAP_MAX and found.map_mean <= MAP_MEAN and related):
        rule = (
            f"maps in int8 differ from those in fp32 by at most {MAP_MEAN:g} on average and {MAP_MAX:g} anywhere, "
            f"with a correlation of at least {CORRELATION:g}"
        )
        raise ConfigError(rule, f"of {method}: {found.summary}; nothing was written", "export it in fp32")


def recalibrated(
    exported: ExportedDetector, detector: Detector, before: Calibration, normal: Sequence[Source]
) -> Calibration:
    """The calibration of a graph in int8 on normal images, at the false-positive rate that its detector was given.

    Raises:
        InputError: there are too few images, one cannot be read, or the detector was trained on one or remembers it: a
            graph cannot leave out a part of its bank.
    """
    images, record = calibration_images(normal), detector.training_record
    known = {one.content for one in record.memory} - {""}
    if remembered := [image.name for image in images if image.content in known]:
        rule = "a graph in int8 is calibrated on images that its bank does not hold"
        raise InputError(rule, remembered[0], "give other normal images, or export in fp32")
    request = calibrator.Request("fpr", before.target, exported.card.class_name)
    found = calibrator.calibrate(images, exported.predict, detector.method, record, request)
    return replace(found, detector=exported.card.fingerprint)


def quantized(content: bytes, clip: Clip) -> bytes:
    """A graph of ONNX with the products with weights of the towers in int8.

    Args:
        content: in fp32.
        clip: whose towers are in the graph.

    Raises:
        ConfigError: there are none.
        DependencyError: ``onnx`` or ``onnxruntime`` is not installed.
    """
    onnx, quantization = loaded("onnx", "export"), loaded("onnxruntime.quantization", "export")
    model = onnx.load_from_string(content)
    names = _apart_from_bias(onnx, model.graph, _tower_weights(onnx, model.graph, clip))
    if not names:
        rule = "int8 is for towers whose layers multiply with weights"
        raise ConfigError(rule, f"{clip.name}, without any in the graph", "export it in fp32")
    silenced = logging.root.manager.disable
    logging.disable(logging.WARNING)  # advice to run another tool first
    try:
        with TemporaryDirectory() as folder:
            path = Path(folder, "int8.onnx")
            quantization.quantize_dynamic(model, path, per_channel=True, nodes_to_quantize=names)
            return path.read_bytes()
    finally:
        logging.disable(silenced)


def _tower_weights(onnx: Any, graph: Any, clip: Clip) -> set[str]:
    """Constants that are weights of a layer, or a part of them, transposed: each column is the weights of one output.

    What the graph calls its constants says nothing of where they are from.
    """
    rows = {
        hash(row.tobytes())
        for weight in clip.parameters()
        if weight.ndim == 2
        for row in weight.detach().float().numpy()
    }
    matrices = (constant for constant in graph.initializer if len(constant.dims) == 2)
    arrays = ((constant.name, onnx.numpy_helper.to_array(constant)) for constant in matrices)
    return {
        name
        for name, array in arrays
        if array.dtype == np.float32 and array.size and hash(array[:, 0].tobytes()) in rows
    }


def _apart_from_bias(onnx: Any, graph: Any, weights: set[str]) -> list[str]:
    """Make two nodes of each product with a bias, which is left as it is otherwise; the names of all products."""
    names, nodes = [], []
    for node in graph.node:
        if node.op_type not in ("MatMul", "Gemm") or node.input[1] not in weights:
            nodes.append(node)
            continue
        names.append(node.name)
        if node.op_type == "MatMul":
            nodes.append(node)
            continue
        product = f"{node.output[0]}_product"
        nodes.append(onnx.helper.make_node("MatMul", node.input[:2], [product], name=node.name))
        nodes.append(onnx.helper.make_node("Add", [product, node.input[2]], node.output, name=f"{node.name}_bias"))
    del graph.node[:]
    graph.node.extend(nodes)
    return names

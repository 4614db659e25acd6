"""Options that several verbs share."""

import sys
import warnings
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zsad.runtime import RuntimeConfig
from zsad.wording import say

if TYPE_CHECKING:
    from argparse import _ArgumentGroup as ArgumentGroup

    from zsad.data.specification import DataSet
    from zsad.export import ExportedDetector
    from zsad.predictor import Detector
    from zsad.reports.predictions import RunInfo
    from zsad.tiling import Tiling


POSITION_RESIZES = ("bicubic_antialias", "bicubic", "bicubic_offset", "bilinear")
WEIGHTS = "published tag, file, folder or hub repository"
DETECTOR = "saved folder, or method (see zsad methods)"


@contextmanager
def show_warnings(quiet: bool = False) -> Iterator[list[str]]:
    """While a command runs, print each warning of the package as one line, unless quiet; the list collects them."""
    from zsad.errors import ZsadWarning

    messages: list[str] = []
    original = warnings.showwarning

    def show(message: Warning | str, category: type[Warning], *where: Any, **more: Any) -> None:
        if not issubclass(category, ZsadWarning):
            return original(message, category, *where, **more)
        messages.append(str(message))
        return None if quiet else say(f"zsad: note: {message}", stderr=True)

    warnings.showwarning = show
    try:
        yield messages
    finally:
        warnings.showwarning = original


def add_detector(parser: ArgumentParser, *, positional: bool = False, several: bool = False) -> None:
    """How a detector is chosen: by an option, or by the argument of the command, which may be several."""
    group = parser.add_argument_group("detector")
    if several:
        group.add_argument(
            "detectors", nargs="*", metavar="DETECTOR", help="saved folder, or method; several share a pass"
        )
    elif positional:
        group.add_argument("detector", metavar="DETECTOR", help=DETECTOR)
    else:
        where = "NAME|DIR|FILE"
        group.add_argument("--detector", default="auto", metavar=where, help="default: auto (see zsad methods)")
    group.add_argument("--backbone", metavar="NAME", help="default: tiny, for trying out (see zsad backbones)")
    add_backbone(group)
    add_input(parser)


def add_input(parser: ArgumentParser) -> None:
    """What images are taken for, before they are scored."""
    group = parser.add_argument_group("images")
    group.add_argument(
        "--range",
        dest="value_range",
        type=value_range,
        metavar="LOW:HIGH",
        help="black and white samples: 0:4095 (default: by file)",
    )
    group.add_argument("--tile", type=int, metavar="PX", help="score overlapping tiles of this side (default: whole)")
    group.add_argument("--overlap", type=int, metavar="PX", help="of tiles (default: a quarter of their side)")
    group.add_argument("--coarse", type=float, metavar="W", help="weight of the whole image beside tiles (default: 0)")


def add_backbone(group: "ArgumentGroup") -> None:
    """Weights and settings of the backbone, and options of the method."""
    group.add_argument("--weights", metavar="TAG|PATH|REPO", help=WEIGHTS)
    group.add_argument("--activation", choices=("quick_gelu", "gelu"), help="default: that of the weights")
    group.add_argument(
        "--position-resize",
        choices=POSITION_RESIZES,
        metavar="HOW",
        help="bicubic_antialias, bicubic, bicubic_offset or bilinear",
    )
    group.add_argument("--image-size", type=int, metavar="PX", help="input size (default: that of the backbone)")
    group.add_argument(
        "--set",
        type=key_value,
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="option of the method, e.g. levels=[12,24]; repeatable",
    )


def add_data(group: "ArgumentGroup", metavar: str, *, split: bool = True) -> None:
    """Data sets, and what is taken of them."""
    group.add_argument(
        "--data", action="append", required=True, metavar=metavar, help="data set (zsad datasets); repeatable"
    )
    if split:
        group.add_argument("--split", default="test", choices=("train", "test", "all"), help="default: test")
    group.add_argument("--classes", nargs="+", metavar="NAME", help="default: all")


def read_data(options: Namespace) -> "list[DataSet]":
    """The data sets of :func:`add_data`; what is wrong with them is told before a model is loaded.

    Raises:
        ConfigError: a layout or a class does not exist.
        InputError: a path does not exist, does not have its layout, or nothing is left.
    """
    from zsad.data.specification import data_set, samples_of

    data_sets = [data_set(specification) for specification in options.data]
    samples_of(data_sets, options.split, options.classes)
    return data_sets


def add_runtime(parser: ArgumentParser, **defaults: Any) -> None:
    """Where and how a detector runs; other defaults than usual are of a command."""
    RuntimeConfig.add_options(parser, "device", "precision", "batch_size", **defaults)


FIXED = (
    *("backbone", "weights", "activation", "position_resize", "image_size", "set", "normal"),
    *("tile", "overlap", "coarse"),
)
"""Options that make another detector, which cannot be made of an exported one."""


def load_any(options: Namespace, threshold: float | None = None) -> "Detector | ExportedDetector":
    """The detector that the options describe, or an exported one, for which PyTorch is not loaded."""
    from zsad import export

    if not export.is_exported(options.detector):
        return load_detector(options, threshold)
    return export.load(options.detector, **exported_arguments(options, threshold))


def exported_arguments(options: Namespace, threshold: float | None = None) -> dict[str, Any]:
    """The keyword arguments of :func:`zsad.export.load`, as the options say.

    Raises:
        ConfigError: options are given that an exported detector does not have any more.
    """
    from zsad.errors import ConfigError

    given = [f"--{name.replace('_', '-')}" for name in FIXED if getattr(options, name, None)]
    given += ["--precision"] if options.precision != "fp32" else []
    if given:
        rule = "an exported detector stays as it was exported"
        raise ConfigError(rule, ", ".join(given), "leave these out, or export a detector that has them")
    return {"threshold": threshold, "device": options.device, "value_range": getattr(options, "value_range", None)}


def load_detector(options: Namespace, threshold: float | None = None, detector: str | None = None) -> "Detector":
    """The detector that the options describe, under another name or folder where one is given."""
    from zsad.loading import load

    return load(detector or options.detector, **load_arguments(options, threshold))


def load_arguments(options: Namespace, threshold: float | None = None) -> dict[str, Any]:
    """The keyword arguments of :func:`zsad.load`, as the options say."""
    return {
        "backbone": options.backbone,
        "weights": options.weights,
        "image_size": options.image_size,
        "threshold": threshold,
        "runtime": RuntimeConfig.from_options(options),
        "activation": options.activation,
        "position_resize": options.position_resize,
        "value_range": getattr(options, "value_range", None),
        "tiling": tiling_of(options),
        "options": dict(options.set) or None,
    }


def detector_argument(folder: Path) -> str:
    """What ``--detector`` takes for this folder: a bare name could mean a method.

    >>> detector_argument(Path("fe-clip")), detector_argument(Path("runs/fe-clip"))
    ('./fe-clip', 'runs/fe-clip')
    """
    return f"./{folder}" if len(folder.parts) == 1 else str(folder)


def describe(detector: "Detector | ExportedDetector") -> str:
    """What runs, what it remembers and was calibrated on; names the embedded backbone as what it is."""
    from zsad.export.card import ExportCard

    about = detector.identity
    lines = [f"detector {about.method} at {about.image_size} px on {about.backbone}", f"weights: {about.weights}"]
    if isinstance(detector.card, ExportCard) and detector.card.loss:
        lines[0] += f", {about.precision}"
        lines.append(f"int8: {detector.card.loss.summary}")
    if detector.memory_summary:
        lines.append(f"remembers: {detector.memory_summary}")
    if detector.calibration:
        lines.append(f"calibrated: {detector.calibration.summary}")
    return "\n".join(lines)


def run_info(detector: "Detector | ExportedDetector", class_name: str) -> "RunInfo":
    """What a report says of the run; of a detector that has begun to predict, what judged the images."""
    from datetime import UTC, datetime

    import zsad
    from zsad.reports.predictions import RunInfo
    from zsad.results.schema import setting_by

    about, decision = detector.identity, detector.decision(class_name)
    return RunInfo(
        detector=about.method,
        backbone=about.backbone,
        weights=about.weights,
        image_size=about.image_size,
        precision=about.precision,
        device=about.device,
        class_name=class_name,
        threshold=decision.threshold,
        version=zsad.__version__,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        command=command_line(),
        memory=detector.memory_summary,
        explanation=detector.explanation,
        pixel_threshold=decision.pixel_threshold,
        calibration=decision.calibration.summary if decision.calibration else "",
        setting=setting_by(detector.scored_together, has_references=bool(detector.memory_summary)),
    )


def path_or_url(text: str) -> Path | str:
    """A path, or a URL as it is, whose slashes a path would lose."""
    from zsad.remote import is_url

    return text if is_url(text) else Path(text)


def command_line() -> str:
    """The command as the user typed it."""
    import shlex

    return shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]])


def tiling_of(options: Namespace) -> "Tiling | None":
    """How images are cut, as the options say.

    Raises:
        ConfigError: a value is out of range, or options of tiles are given without ``--tile``.
    """
    from zsad.errors import ConfigError
    from zsad.tiling import Tiling

    tile, overlap, coarse = (getattr(options, name, None) for name in ("tile", "overlap", "coarse"))
    if tile is None:
        if overlap is not None or coarse is not None:
            value = f"{coarse if overlap is None else overlap} without --tile"
            raise ConfigError("--overlap and --coarse go with tiles", value, "say --tile PX as well")
        return None
    return Tiling.of(tile, overlap, coarse or 0.0)


def value_range(text: str) -> tuple[float, float]:
    """Two numbers.

    >>> value_range("0:4095"), value_range("-160:240")
    ((0.0, 4095.0), (-160.0, 240.0))
    """
    low, colon, high = text.partition(":")
    try:
        if colon:
            return float(low), float(high)
    except ValueError:
        pass
    raise ArgumentTypeError(f"{text!r} is no range LOW:HIGH, for instance 0:4095")


def key_value(text: str) -> tuple[str, object]:
    """``KEY=VALUE`` with the value read as TOML, so that numbers, lists and booleans are what they look like."""
    from zsad.documents import DocumentError, read_toml

    key, equals, value = text.partition("=")
    if not equals:
        raise ArgumentTypeError(f"{text!r} is no KEY=VALUE, for instance sigma=8.0")
    try:
        values = read_toml(f"value = {value}")
    except DocumentError:
        return key, value
    return key, values["value"] if len(values) == 1 else value  # of several lines, it is no value of TOML

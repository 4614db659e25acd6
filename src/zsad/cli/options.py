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
    from argparse import _SubParsersAction

    from zsad.predictor import Detector
    from zsad.reports.predictions import RunInfo

    Verbs = _SubParsersAction[ArgumentParser]
else:
    Verbs = Any


POSITION_RESIZES = ("bicubic_antialias", "bicubic", "bilinear")


@contextmanager
def telling() -> Iterator[list[str]]:
    """While a command runs, what the package warns of is one line on the terminal; it is also kept in the list."""
    from zsad.errors import ZsadWarning

    told: list[str] = []
    others = warnings.showwarning

    def tell(message: Warning | str, category: type[Warning], *where: Any, **more: Any) -> None:
        if not issubclass(category, ZsadWarning):
            return others(message, category, *where, **more)
        told.append(str(message))
        return say(f"zsad: note: {message}", stderr=True)

    warnings.showwarning = tell
    try:
        yield told
    finally:
        warnings.showwarning = others


def add_detector(parser: ArgumentParser, *, positional: bool = False) -> None:
    """How a detector is chosen: by an option, or by the argument that the verb is about."""
    group = parser.add_argument_group("detector")
    if positional:
        group.add_argument("detector", metavar="DETECTOR", help="folder of a detector, or a name: see zsad methods")
    else:
        group.add_argument(
            "--detector", default="clip-ac", metavar="NAME|DIR", help="see zsad methods (default: clip-ac)"
        )
    group.add_argument(
        "--backbone",
        metavar="NAME",
        help="see zsad backbones (default: tiny, embedded: small, project-trained, for trying out; "
        "real work names a real CLIP, for instance --backbone ViT-L-14-336 --weights openai)",
    )
    group.add_argument("--weights", metavar="TAG|PATH|REPO", help="published tag, file, folder or hub repository")
    group.add_argument(
        "--activation", choices=("quick_gelu", "gelu"), help="override what the weights were trained with"
    )
    group.add_argument(
        "--position-resize",
        choices=POSITION_RESIZES,
        help="how positions are resized to other image sizes (default: bicubic_antialias)",
    )
    group.add_argument("--image-size", type=int, metavar="PX", help="side at which the method runs")
    group.add_argument(
        "--set",
        type=pair,
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="a field of the method's configuration",
    )


def add_runtime(parser: ArgumentParser) -> None:
    """Where and how a detector runs."""
    RuntimeConfig.add_options(parser, "device", "precision", "batch_size")


def load_detector(options: Namespace, threshold: float | None = None) -> "Detector":
    """The detector that the options describe."""
    from zsad.predictor import load

    return load(
        options.detector,
        backbone=options.backbone,
        weights=options.weights,
        image_size=options.image_size,
        threshold=threshold,
        runtime=RuntimeConfig.from_options(options),
        activation=options.activation,
        position_resize=options.position_resize,
        options=dict(options.set) or None,
    )


def as_detector(folder: Path) -> str:
    """What ``--detector`` takes for this folder: a bare name could mean a method.

    >>> as_detector(Path("fe-clip")), as_detector(Path("runs/fe-clip"))
    ('./fe-clip', 'runs/fe-clip')
    """
    return f"./{folder}" if len(folder.parts) == 1 else str(folder)


def describe(detector: "Detector") -> str:
    """What runs and what it remembers, in two or three lines; names the embedded backbone as what it is."""
    clip = detector.method.clip
    lines = [f"detector {detector.card.method} at {detector.image_size} px on {clip.name}", f"weights: {clip.weights}"]
    return "\n".join([*lines, *([f"remembers: {detector.memory_summary}"] if detector.memory_summary else [])])


def run_info(detector: "Detector", class_name: str) -> "RunInfo":
    """What a report says of the run."""
    from datetime import UTC, datetime

    import zsad
    from zsad.reports.predictions import RunInfo

    clip, runtime = detector.method.clip, detector.runtime
    return RunInfo(
        detector=detector.card.method,
        backbone=clip.name,
        weights=clip.weights,
        image_size=detector.image_size,
        precision=runtime.precision,
        device=runtime.device,
        class_name=class_name,
        threshold=detector.threshold,
        version=zsad.__version__,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        command=typed(),
        memory=detector.memory_summary,
    )


def typed() -> str:
    """What the user typed."""
    import shlex

    return shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]])


def pair(text: str) -> tuple[str, object]:
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

"""``zsad export DETECTOR``: one graph in a file, which runs without PyTorch."""

from argparse import ArgumentParser, Namespace
from collections.abc import Iterator
from pathlib import Path
from textwrap import wrap
from typing import TYPE_CHECKING

from zsad.cli.options import add_detector, describe, load_detector
from zsad.wording import say

if TYPE_CHECKING:
    from zsad.calibration import Calibration
    from zsad.export.card import ExportCard

DESCRIPTION = """Write a detector as one graph, from a picture to its anomaly map and its score, with its thresholds and
its calibration. Nothing is written unless the graph gives the same maps and scores. With --int8, how far they are
apart is measured, on normal images of the class or on drawn ones, and stated; a calibration is left out unless normal
images allow to make it again."""


def configure(parser: ArgumentParser) -> None:
    """Add description and options."""
    from zsad.export import SUFFIXES

    parser.description = DESCRIPTION
    parser.add_argument("--out", type=Path, metavar="FILE", help="default: runs/DETECTOR with the suffix of the format")
    parser.add_argument("--format", choices=tuple(SUFFIXES), default="onnx", help="default: onnx")
    parser.add_argument("--class-name", default="object", metavar="WORDS", help='what images show, e.g. "metal nut"')
    group = parser.add_argument_group("8 bits")
    group.add_argument("--int8", action="store_true", help="towers multiply in 8 bits: smaller, faster, less exact")
    group.add_argument("--normal", type=Path, metavar="DIR", help="measure that on these, and calibrate again")
    add_detector(parser, positional=True)
    parser.set_defaults(run=run, device="cpu", precision="fp32", batch_size=1, runtime_fields=("device",))


def run(options: Namespace) -> int:
    """Load, trace, compare, write."""
    from zsad import export
    from zsad.cli.calibrate import images_in

    normal = images_in(options.normal) if options.normal else []
    suffix = export.SUFFIXES[options.format]
    detector = load_detector(options)
    out = options.out or Path("runs") / f"{detector.name}{suffix}"
    if out.suffix != suffix:
        out = out.with_name(f"{out.name}{suffix}")
    say(describe(detector))
    card = export.export(detector, out, options.class_name, int8=options.int8, normal=[*normal])
    at_once = "any number of images" if card.batch is None else "one image"
    say(f"graph: {out} ({out.stat().st_size / 1e6:.1f} MB), {at_once} at a time, for {card.class_name}")
    if card.loss is None:
        say(f"maps and scores differ by at most {card.difference:.1g} from those of the detector.")
    else:
        say("\n".join(part for line in _of_int8(card, detector.calibration) for part in wrap(line, 80)))
    say(f"use it: zsad predict IMAGES --detector {out}")
    return 0


def _of_int8(card: "ExportCard", before: "Calibration | None") -> Iterator[str]:
    """What int8 changes, and which thresholds are in the file."""
    assert card.loss is not None
    yield f"int8: {card.loss.summary}"
    if card.calibration:
        yield f"calibrated again: {card.calibration.summary}"
    elif before:
        again = ": give --normal DIR to calibrate it again" if before.criterion == "fpr" else ""
        yield f"the calibration is left out, which is of scores in fp32{again}"
    if card.threshold is not None:
        yield f"the threshold that was given stays: {card.threshold:g}"

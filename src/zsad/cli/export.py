"""``zsad export DETECTOR``: one graph in a file, which runs without PyTorch."""

from argparse import ArgumentParser, Namespace
from pathlib import Path

from zsad.cli.options import add_detector, describe, load_detector
from zsad.wording import say

DESCRIPTION = """Write a detector as one graph, from a picture to its anomaly map and its score, with its thresholds and
its calibration. Nothing is written unless the graph gives the same maps and scores."""


def configure(parser: ArgumentParser) -> None:
    """Add description and options."""
    from zsad.export import SUFFIXES

    parser.description = DESCRIPTION
    parser.add_argument("--out", type=Path, metavar="FILE", help="default: runs/DETECTOR with the suffix of the format")
    parser.add_argument("--format", choices=tuple(SUFFIXES), default="onnx", help="default: onnx")
    parser.add_argument("--class-name", default="object", metavar="WORDS", help='what images show, e.g. "metal nut"')
    add_detector(parser, positional=True)
    parser.set_defaults(run=run, device="cpu", precision="fp32", batch_size=1, runtime_fields=("device",))


def run(options: Namespace) -> int:
    """Load, trace, compare, write."""
    from zsad import export

    suffix = export.SUFFIXES[options.format]
    detector = load_detector(options)
    out = options.out or Path("runs") / f"{detector.name}{suffix}"
    if out.suffix != suffix:
        out = out.with_name(f"{out.name}{suffix}")
    say(describe(detector))
    card = export.export(detector, out, options.class_name)
    at_once = "any number of images" if card.batch is None else "one image"
    say(f"graph: {out} ({out.stat().st_size / 1e6:.1f} MB), {at_once} at a time, for {card.class_name}")
    say(f"maps and scores differ by at most {card.difference:.1g} from those of the detector.")
    say(f"use it: zsad predict IMAGES --detector {out}")
    return 0

"""``zsad demo``: real photographs of solar cells, judged by text, by one another and by known-good ones."""

from argparse import ArgumentParser, Namespace
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from zsad.cli.options import add_detector, add_runtime, describe, load_detector, run_info
from zsad.wording import say

if TYPE_CHECKING:
    from zsad.data.layouts._base import Sample
    from zsad.demo import Judged

DESCRIPTION = """Score photographs of intact and of cracked solar cells three times: by text alone, as an unlabelled
folder, and against known-good cells. Prints the image AUROC of each, and writes heat maps and a report."""


def configure(parser: ArgumentParser) -> None:
    """Add description and options."""
    parser.description = DESCRIPTION
    parser.add_argument("--out", type=Path, default=Path("runs/demo"), metavar="DIR", help="default: runs/demo")
    parser.add_argument("--images", type=int, default=24, metavar="N", help="of each kind (default: 24)")
    parser.add_argument("--normal", type=int, default=16, metavar="N", help="known-good ones (default: 16)")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of their random choice (default: 0)")
    parser.add_argument(
        "--text-detector", default="clip-ac", metavar="NAME|DIR", help="judges by text alone (default: clip-ac)"
    )
    add_detector(parser)
    add_runtime(parser, batch_size=8)
    parser.set_defaults(run=run)


def run(options: Namespace) -> int:
    """Judge the cells three times, print both tables, write the figure and the report of the unlabelled folder."""
    from textwrap import fill

    from zsad import demo
    from zsad.data.layouts import get
    from zsad.drawing.render import save_image

    elpv = get("elpv")
    samples, normal = demo.choose(elpv.samples(demo.photographs()), options.images, options.normal, options.seed)
    say(fill(f"{elpv.title}: {elpv.about}", 80))
    columns = list(_columns(options, samples, normal))
    save_image(demo.figure(samples, columns), options.out / "heatmaps.png")
    say("\n" + demo.auroc_table(samples, columns))
    say("\n" + demo.ranking(samples, columns, by=1))
    say(f"\nheat maps: {options.out / 'heatmaps.png'}\nreport: {options.out / 'report.html'} ({columns[1].by})")
    return 0


def _columns(options: Namespace, samples: "list[Sample]", normal: "list[Sample]") -> "Iterator[Judged]":
    """What each of the three says; the second writes its report."""
    from itertools import chain

    from zsad import demo
    from zsad.reports.predictions import ReportWriter

    name = options.text_detector
    text = load_detector(Namespace(**vars(options) | {"detector": name, "set": []}))
    yield demo.judge(text, f"text alone ({name})", "text", samples, demo.stream(text, samples, "text"))
    detector, name = load_detector(options), options.detector
    say(describe(detector))
    answers = demo.stream(detector, samples, "folder")
    first = next(answers)  # after which the detector can explain itself
    with ReportWriter(options.out, run_info(detector, demo.CLASS_NAME)) as report:
        by = f"one another, unlabelled ({name})"
        yield demo.judge(detector, by, "folder", samples, chain([first], answers), report.add)
    with detector.temporary_memory([sample.image for sample in normal], demo.CLASS_NAME):
        by = f"{len(normal)} other cells that are good ({name})"
        yield demo.judge(detector, by, f"{len(normal)} normal", samples, demo.stream(detector, samples, "normal"))

"""``zsad demo``: real photographs of solar cells, good and cracked, through the embedded backbone."""

from argparse import ArgumentParser, Namespace
from pathlib import Path

from zsad.cli.options import add_detector, add_runtime, describe, load_detector, run_info
from zsad.wording import say


def configure(parser: ArgumentParser) -> None:
    """Add description and options."""
    parser.description = "Score photographs of intact and of cracked solar cells, and write heat maps and a report."
    parser.add_argument("--out", type=Path, default=Path("runs/demo"), metavar="DIR", help="default: runs/demo")
    parser.add_argument("--images", type=int, default=24, metavar="N", help="of each kind (default: 24)")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of their random choice (default: 0)")
    add_detector(parser)
    add_runtime(parser)
    parser.set_defaults(run=run)


def run(options: Namespace) -> int:
    """Predict, print the table and the AUROC, write heat maps and the report."""
    from textwrap import fill

    from zsad import demo
    from zsad.data.layouts import get
    from zsad.reports.predictions import ReportWriter

    elpv = get("elpv")
    samples = demo.choose(elpv.samples(demo.photographs()), options.images, options.seed)
    detector = load_detector(options)
    with ReportWriter(options.out, run_info(detector, demo.CLASS_NAME)) as report:
        outcomes = demo.run(detector, samples, report, options.out)
    say(fill(f"{elpv.title}: {elpv.about}", 80))
    say(f"{describe(detector)}\n")
    say(demo.table(outcomes))
    say(f"\n{demo.auroc_summary(outcomes)}")
    say(f"heat maps: {options.out / 'heatmaps.png'}\nreport: {options.out / 'report.html'}")
    return 0

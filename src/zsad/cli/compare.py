"""``zsad compare A B``: compare two evaluations."""

import json
from argparse import ArgumentParser, Namespace
from pathlib import Path

from zsad.wording import say

DESCRIPTION = """Compare two evaluations of the same images: the difference of the detectors in each metric, with its
confidence interval. Several training runs of each: zsad compare A1 A2 --against B1 B2."""


def configure(parser: ArgumentParser) -> None:
    """Add description and options."""
    parser.description = DESCRIPTION
    parser.add_argument("evaluations", nargs="+", type=Path, metavar="DIR", help="A and B: folders of zsad evaluate")
    parser.add_argument("--against", nargs="+", type=Path, metavar="DIR", help="several B; those before are then A")
    parser.add_argument("--resamples", type=int, default=2000, metavar="N", help="of the bootstrap (default: 2000)")
    parser.add_argument("--confidence", type=float, default=0.95, metavar="P", help="of the intervals (default: 0.95)")
    parser.add_argument("--json", action="store_true", help="print everything as JSON instead")
    parser.add_argument("--out", type=Path, metavar="FILE", help="also write everything as JSON")
    parser.set_defaults(run=run)


def run(options: Namespace) -> int:
    """Compare, and print or write the result."""
    from dataclasses import asdict

    from zsad.errors import InputError
    from zsad.files import write_atomically
    from zsad.locks import alone_with
    from zsad.reports.terminal import comparison_table
    from zsad.statistics.comparison import compare

    a, b = split_sides(options.evaluations, options.against)
    comparison = compare(a, b, draws=options.resamples, confidence=options.confidence)
    everything = json.dumps(asdict(comparison), indent=2) + "\n"
    say(everything.rstrip() if options.json else comparison_table(comparison))
    if options.out:
        try:
            with alone_with(options.out):
                write_atomically(options.out, everything.encode())
        except OSError as error:
            raise InputError("the file of a comparison must be writable", error, "choose another --out") from error
    return 0


def split_sides(evaluations: list[Path], against: list[Path] | None) -> tuple[list[Path], list[Path]]:
    """A and B."""
    from zsad.errors import ConfigError

    if against:
        return evaluations, against
    if len(evaluations) != 2:
        remedy = "name two, or say which are B: zsad compare A1 A2 --against B1 B2"
        raise ConfigError("a comparison is of two evaluations, A and B", len(evaluations), remedy)
    return evaluations[:1], evaluations[1:]

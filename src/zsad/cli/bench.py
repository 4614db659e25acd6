"""``zsad bench DETECTOR``: images a second of each stage of a prediction, and which one limits."""

from argparse import ArgumentParser, Namespace
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from zsad.cli.options import add_detector, add_runtime, describe, load_detector, run_info
from zsad.wording import say

if TYPE_CHECKING:
    from zsad.throughput import Throughput

DESCRIPTION = """Time a detector on this machine: each stage of a prediction by itself, then all of them together, from
JPEG files to maps and overlays, as zsad predict runs them."""
MOST_IMAGES = 100_000


def configure(parser: ArgumentParser) -> None:
    """Add description and options."""
    parser.description = DESCRIPTION
    parser.add_argument("--images", nargs="+", metavar="PATH", help="images to measure with (default: drawn ones)")
    parser.add_argument("--side", type=int, default=1024, metavar="PX", help="of the drawn ones (default: 1024)")
    parser.add_argument("--count", type=int, default=32, metavar="N", help="of the drawn ones (default: 32)")
    parser.add_argument("--class-name", default="object", metavar="WORDS", help='what they show (default: "object")')
    add_detector(parser, positional=True)
    add_runtime(parser, batch_size="auto")
    parser.set_defaults(run=run)


def run(options: Namespace) -> int:
    """Draw or find the images, measure, print the table."""
    from tempfile import TemporaryDirectory

    from zsad.config import check_within
    from zsad.data.sources import check_not_empty, scan
    from zsad.throughput import draw_photographs, measure

    check_within("the side of the drawn images in px (--side)", options.side, 16, 8192)
    check_within("the number of drawn images (--count)", options.count, 2, MOST_IMAGES)
    detector = load_detector(options)
    say(describe(detector))
    with TemporaryDirectory() as folder:
        if options.images:
            scanned = scan(options.images)
            check_not_empty(scanned)
            files = scanned.images
        else:
            files = draw_photographs(Path(folder), options.count, options.side)
        found = measure(detector, [Path(path) for path in files], run_info(detector, options.class_name))
    say("\n".join(table(found)))
    return 0


def table(found: "Throughput") -> Iterator[str]:
    """Lines of at most 80 columns."""
    from zsad.throughput import ORDER

    where = "one thread" if found.device == "cpu" else found.device
    yield ""
    yield f"{'stage':<10}{'ms an image':>12}{'images/s':>10}"
    for name in ORDER:
        seconds = found.seconds[name]
        mark = "  < limits" if name == found.limit else ""
        rate = f"{1 / seconds:10.1f}" if seconds else f"{'-':>10}"
        yield f"{name:<10}{1000 * seconds:12.2f}{rate}{mark}"
    together = 1 / found.images_per_second
    yield f"{'together':<10}{1000 * together:12.2f}{found.images_per_second:10.1f}"
    yield ""
    yield f"Stages one after the other in {where}, batches of {found.batch}; together on {found.threads} threads."
    if found.passes != 1:
        yield f"Through the tower for an image: {found.passes:g} tiles, coarse passes included."
    yield f"Tower: {found.tower_flops / 1e9:.1f} GFLOP an image, {found.share_of_peak:.0%} of the peak of this device"
    yield f"({found.peak / 1e9:,.0f} GFLOP/s, the product of two large matrices)."

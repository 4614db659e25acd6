"""``zsad data draw --out DIR``: a data set of drawn defects, on drawn images or on photographs of your own."""

import shlex
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from zsad.wording import pluralised, say

if TYPE_CHECKING:
    from zsad.data.synthetic.dataset import Written, WrittenDataSet

DESCRIPTION = """Draw scratches, cracks, stains, missing parts and a dozen other kinds of defect, with exact masks,
on drawn surfaces and parts or on your own normal images, as a data set to train a detector on. Evaluate it on real
defects."""


def configure(parser: ArgumentParser) -> None:
    """Add description and options."""
    parser.description = DESCRIPTION
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="new folder, to be read as mvtec:DIR")
    parser.add_argument("--images", type=int, default=1000, metavar="N", help="default: 1000")
    parser.add_argument("--size", type=int, default=224, metavar="PX", help="side, or shorter side (default: 224)")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="default: 0")
    parser.add_argument("--damaged", type=float, default=0.5, metavar="SHARE", help="with defects (default: 0.5)")
    parser.add_argument("--workers", type=int, default=2, metavar="N", help="processes that draw (default: 2)")
    photographs = parser.add_argument_group("photographs")
    photographs.add_argument(
        "--on", nargs="+", default=[], metavar="PATH", help="normal images to draw on; files, folders"
    )
    photographs.add_argument("--share", type=float, metavar="SHARE", help="of images drawn on them (default: all)")
    photographs.add_argument(
        "--crop", type=float, metavar="SHARE", help="random square crops of at least this share of the side"
    )
    photographs.add_argument(
        "--class-name", default="photograph", metavar="NAME", help="e.g. metal_nut (default: photograph)"
    )
    parser.set_defaults(run=run)


def run(options: Namespace) -> int:
    """Draw, and print a summary and the next command."""
    from tqdm import tqdm

    from zsad.data.sources import ImageScan, check_not_empty, scan
    from zsad.data.synthetic.dataset import write
    from zsad.data.synthetic.drawing import Drawing

    scanned = scan(options.on) if options.on else ImageScan()
    check_not_empty(scanned)
    photographs = tuple(map(str, scanned.images))
    drawing = Drawing(
        images=options.images,
        side=options.size,
        seed=options.seed,
        damaged=options.damaged,
        photographs=photographs,
        share=float(bool(photographs)) if options.share is None else options.share,
        crop=options.crop,
        class_name=options.class_name.replace(" ", "_"),
    )

    def shown(images: Iterator["Written"], total: int) -> Iterator["Written"]:
        return iter(tqdm(images, total=total, unit="image", disable=None))

    drawn = write(drawing, options.out, options.workers, shown)
    reasons = [*(failure.message for failure in scanned.skipped_files), *drawn.unusable.values()]
    for reason in reasons:
        say(f"zsad: skipped: {reason}", stderr=True)
    say("\n".join(as_text(drawn, options.out, len(reasons))))
    return 1 if reasons else 0


def as_text(drawn: "WrittenDataSet", folder: Path, left_out: int) -> Iterator[str]:
    """What was drawn, and the next command."""
    from zsad.data.synthetic.dataset import COMBINED, GOOD, RECORD

    kinds = drawn.kinds
    classes = ", ".join(f"{count:,} of class {name}" for name, count in drawn.classes.items())
    yield f"{folder}: {pluralised(sum(kinds.values()), 'image')}, {classes}"
    width = max(map(len, kinds))
    for kind in sorted(kinds, key=lambda kind: (kind != GOOD, kind == COMBINED, kind)):
        means = "  (defects of several kinds)" if kind == COMBINED else ""
        yield f"  {kind:<{width}}  {kinds[kind]:>7,}{means}"
    if left_out:
        yield f"{pluralised(left_out, 'photograph')} could not be drawn on: see the lines above (exit status 1)."
    yield f"record: {folder / RECORD}"
    yield f"next: zsad train fe-clip --data {shlex.quote(f'mvtec:{folder}')} --out RUN"

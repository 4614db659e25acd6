"""``zsad data draw --out DIR``: a data set of drawn defects, on drawn pictures or on photographs of your own."""

from argparse import ArgumentParser, Namespace
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from zsad.data.synthetic.dataset import Drawn

ABOUT = """Draw scratches, cracks, stains, missing parts and a dozen other kinds of defect, with exact masks, on drawn
surfaces and parts or on your own photographs of good parts, as a data set to train a detector on. Drawn defects
are practice: how good a detector is, only real ones tell."""


def add(parser: ArgumentParser) -> None:
    """Add what it takes."""
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="a new folder; read it as mvtec:DIR")
    parser.add_argument("--pictures", type=int, default=1000, metavar="N", help="how many (default: 1000)")
    parser.add_argument("--size", type=int, default=224, metavar="PX", help="side of each (default: 224)")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="the same seed, the same files (default: 0)")
    parser.add_argument("--damaged", type=float, default=0.5, metavar="SHARE", help="with defects (default: 0.5)")
    parser.add_argument(
        "--on", nargs="+", default=[], metavar="PATH", help="photographs of good parts, or folders of them, to draw on"
    )
    parser.add_argument(
        "--share", type=float, metavar="SHARE", help="pictures made of photographs (default: all, where there are some)"
    )
    parser.add_argument("--class-name", default="photograph", metavar="NAME", help="what the photographs show")
    parser.add_argument("--workers", type=int, default=2, metavar="N", help="processes that draw (default: 2)")
    parser.set_defaults(run=run)


def run(options: Namespace) -> int:
    """Draw, and say what was drawn and what to do with it."""
    from tqdm import tqdm

    from zsad.data.sources import find_pictures
    from zsad.data.synthetic.dataset import Drawing, write

    photographs = tuple(str(path) for path in find_pictures(options.on)) if options.on else ()
    share = options.share if options.share is not None else float(bool(photographs))
    drawing = Drawing(
        options.pictures, options.size, options.seed, options.damaged, photographs, share, options.class_name
    )

    def shown(files: Iterator[Path], total: int) -> Iterator[Path]:
        return iter(tqdm(files, total=total, unit="picture", disable=None))

    print("\n".join(as_text(write(drawing, options.out, options.workers, shown), options.out)))
    return 0


def as_text(drawn: "Drawn", folder: Path) -> list[str]:
    """What was drawn, and the next command."""
    width = max(len(kind) for kind in drawn.kinds)
    return [
        *(f"not drawn on: {reason}" for reason in drawn.unreadable.values()),
        f"{sum(drawn.classes.values())} pictures in {folder}: "
        + ", ".join(f"{count} of class {name}" for name, count in drawn.classes.items()),
        *(f"  {kind:<{width}}  {count:>6}" for kind, count in drawn.kinds.items()),
        f"next: zsad train fe-clip --data mvtec:{folder} --out RUN",
    ]

"""What does each module change when it is taken out of a trained detector?

    python -m benchmarks.modules --data mvtec:drawn --image-size 224

One module at a time gives way to an element that changes nothing, or to what CLIP alone has there; nothing is trained
anew, and the same images are scored. That is not the ablation of the papers, which train without the module: others
could have learned to do its work. It says whether a module is at work in this detector.
"""

import argparse
import sys
from collections.abc import Iterator, Sequence
from typing import Any

import zsad
from benchmarks.modules.edits import Module, observe_once, without
from benchmarks.modules.listed import modules_of
from benchmarks.modules.measured import (
    METRICS,
    POINTS,
    VERDICTS,
    Effect,
    Labelled,
    ask,
    effect,
    metrics,
    read,
)
from zsad.errors import ZsadError
from zsad.evaluator.plan import plan
from zsad.predictor import Detector
from zsad.results.schema import Protocol

DETECTORS = ("fe-clip", "acd-clip", "kanoclip", "wmoe-clip", "afr-clip")
COLUMNS = ("removed", "replaced by", "map", "score", "ranks", *METRICS, "effect")


def main(arguments: Sequence[str] | None = None) -> int:
    """Print a table a detector, as Markdown."""
    parser = argparse.ArgumentParser(
        "python -m benchmarks.modules", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("detectors", nargs="*", default=DETECTORS, metavar="DETECTOR", help="methods or folders")
    parser.add_argument("--data", nargs="+", required=True, metavar="LAYOUT:PATH")
    parser.add_argument("--max-images", type=int, metavar="N", help="images of each class and state, drawn with seed 0")
    parser.add_argument("--image-size", type=int, metavar="PX", help="default: the detector's")
    parser.add_argument("--batch-size", type=int, default=8, metavar="N")
    options = parser.parse_args(arguments)
    try:
        sets = plan(options.data, Protocol(max_images=options.max_images))
        data = [read(planned) for one in sets for planned in one.classes]
        print(told(data))
        for name in options.detectors:
            detector = zsad.load(name, image_size=options.image_size, batch_size=options.batch_size)
            for line in table(detector, data):
                print(line, flush=True)
    except ZsadError as error:
        print(f"zsad: {error}", file=sys.stderr)
        return 2
    return 0


def told(data: Sequence[Labelled]) -> str:
    """What the numbers are."""
    count, bad = sum(len(one.labels) for one in data), sum(sum(one.labels) for one in data)
    verdicts = "; ".join(f"map and score by less than {bound:g}: {words}" for bound, words in VERDICTS.items())
    return (
        f"{count} images of {len(data)} classes, {bad} anomalous. map, score: mean absolute change in [0, 1]; ranks: "
        "Spearman's correlation of the scores with and without; metrics: percent without the module (difference), "
        f"means over classes. Where every metric changes by less than {100 * POINTS:g} points, {verdicts}."
    )


def table(detector: Detector, data: Sequence[Labelled]) -> Iterator[str]:
    """A row for the whole detector and one for each module."""
    observe_once(detector.method)
    before = ask(detector, data)
    yield f"\n{detector.name}, {detector.image_size} px\n"
    yield row(COLUMNS)
    yield "|" + "---|" * len(COLUMNS)
    whole = [percent(value) for value in metrics(before, data).values()]
    yield row(["nothing", "", "", "", "", *whole, ""])
    for module in modules_of(detector.method):
        method = without(detector.method, module)
        left = Detector(detector.card, method, detector.runtime, detector.training_record, detector.name)
        yield row(cells(module, effect(before, ask(left, data), data)))


def cells(module: Module[Any], found: Effect) -> list[str]:
    """A row's cells."""
    values = [
        percent(found.metrics[name]) + ("" if (moved := found.differences[name]) is None else f" ({100 * moved:+.1f})")
        for name in METRICS
    ]
    ranks = "n/a" if found.ranks is None else f"{found.ranks:.3f}"
    changes = [f"{found.map_change:.1e}", f"{found.score_change:.1e}", ranks]
    return [module.name, module.place, *changes, *values, f"**{found.verdict}**" if found.verdict else ""]


def percent(value: float | None) -> str:
    """As tables show fractions."""
    return "n/a" if value is None else f"{100 * value:.1f}"


def row(found: Sequence[str]) -> str:
    """A line of a Markdown table."""
    return "| " + " | ".join(found) + " |"


if __name__ == "__main__":
    sys.exit(main())

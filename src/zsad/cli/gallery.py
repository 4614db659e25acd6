"""``zsad gallery DETECTOR...``: a figure of what detectors see, as PNG or PDF."""

from argparse import Namespace
from pathlib import Path
from typing import TYPE_CHECKING

from zsad.cli.options import Verbs, add_runtime
from zsad.runtime import RuntimeConfig
from zsad.wording import say

if TYPE_CHECKING:
    from zsad.gallery.choice import GalleryCandidate
    from zsad.predictor import Detector

ABOUT = """Draw images, ground truth and the maps of detectors side by side, as in the papers' figures. All
maps have one colour scale, from 0 to 1: none is stretched to its own extremes."""


def add(verbs: Verbs) -> None:
    """Add the verb."""
    parser = verbs.add_parser("gallery", help="draw a figure of what detectors see", description=ABOUT)
    parser.add_argument(
        "detectors", nargs="+", metavar="DETECTOR", help="folder of a detector, or a name: see zsad methods"
    )
    parser.add_argument("--backbone", metavar="NAME", help="of detectors given by name (default: tiny)")
    parser.add_argument("--weights", metavar="TAG|PATH|REPO", help="of detectors given by name")
    data = parser.add_argument_group("images (default: 4 of each class, drawn at random)")
    data.add_argument(
        "--data", action="append", required=True, metavar="[NAME=]LAYOUT:PATH", help="see zsad datasets; repeatable"
    )
    data.add_argument("--classes", nargs="+", metavar="NAME", help="default: all")
    which = data.add_mutually_exclusive_group()
    which.add_argument(
        "--images", nargs="+", metavar="FILE", help="names or ends of paths in the data, such as 'bent_lead/00?.png'"
    )
    which.add_argument("--random", type=int, metavar="N", help="N of each class, kinds of defect in turn")
    which.add_argument("--worst", type=int, metavar="N", help="N of each class that the first detector ranks worst")
    which.add_argument("--best", type=int, metavar="N", help="N of each class that the first detector ranks best")
    data.add_argument("--seed", type=int, default=0, metavar="N", help="of --random (default: 0)")
    data.add_argument("--evaluation", type=Path, metavar="DIR", help="ranks by it, for --worst and --best")
    data.add_argument(
        "--max-images", type=int, default=50, metavar="N", help="without it: of each class and state (default: 50)"
    )
    how = parser.add_argument_group("figure")
    how.add_argument("--out", type=Path, required=True, metavar="FILE", help="ends in .png or .pdf")
    how.add_argument("--label", action="append", metavar="NAME", help="of each detector, in their order; repeatable")
    how.add_argument("--columns", type=int, metavar="N", help="images side by side (default: 1; transposed: 6)")
    how.add_argument("--transpose", action="store_true", help="images side by side, detectors below each other")
    how.add_argument("--map-only", action="store_true", help="maps alone, not laid over their images")
    add_runtime(parser)
    parser.set_defaults(run=run)


def run(options: Namespace) -> int:
    """Choose, draw, and say what is in the figure."""
    from zsad.data.specification import data_set
    from zsad.gallery.choice import candidates
    from zsad.gallery.drawing import check_file, gallery

    check_file(options.out)
    found = candidates([data_set(one) for one in options.data], options.classes)
    detectors = [_loaded(name, options) for name in options.detectors]
    drawn = gallery(
        detectors,
        chosen(found, detectors[0], options),
        options.out,
        labels=options.label,
        columns=options.columns,
        map_only=options.map_only,
        transposed=options.transpose,
    )
    for said in drawn.warnings:
        say(f"! {said}")
    sheets = f", {drawn.pages} pages" if drawn.pages > 1 else ""
    images = f"{drawn.images} image{'s' if drawn.images > 1 else ''}"
    say(f"figure: {options.out} ({images}{sheets})")
    return 0


def chosen(found: list["GalleryCandidate"], first: "Detector", options: Namespace) -> list["GalleryCandidate"]:
    """The images that were asked for."""
    from zsad.errors import ConfigError
    from zsad.evaluator.evaluation import fingerprint
    from zsad.gallery.choice import at_random, evaluated_scores, extreme, named, predicted_scores
    from zsad.results import store

    ranked = options.worst is not None or options.best is not None
    if options.evaluation and not ranked:
        rule = "an evaluation ranks images, for --worst or --best"
        raise ConfigError(rule, options.evaluation, "say one of them, or leave --evaluation out")
    if options.images:
        return named(found, options.images)
    if not ranked:
        return at_random(found, 4 if options.random is None else options.random, options.seed)
    if options.evaluation:
        scores = evaluated_scores(found, options.evaluation)
        ranking = store.read(options.evaluation).detector
        if ranking.fingerprint != fingerprint(first):
            say(f"! Ranked by the scores of another detector than the first: {ranking.name}, as evaluated.")
    else:
        scores = predicted_scores(found, first, options.max_images)
    if options.worst is None:
        return extreme(found, "best", options.best, scores)
    return extreme(found, "worst", options.worst, scores)


def _loaded(name: str, options: Namespace) -> "Detector":
    """A detector; what is said of backbones is meant for those that have none of their own."""
    from zsad import methods
    from zsad.predictor import load

    is_method = name in methods.names()
    return load(
        name,
        backbone=options.backbone if is_method else None,
        weights=options.weights if is_method else None,
        runtime=RuntimeConfig.from_options(options),
    )

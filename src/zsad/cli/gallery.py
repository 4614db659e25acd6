"""``zsad gallery DETECTOR...``: a figure of what detectors see, as PNG or PDF."""

from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import TYPE_CHECKING

from zsad.cli.options import DETECTOR, add_data, add_runtime
from zsad.runtime import RuntimeConfig
from zsad.wording import say

if TYPE_CHECKING:
    from zsad.gallery.choice import GalleryCandidate
    from zsad.predictor import Detector

DESCRIPTION = """Draw images, ground truth and the anomaly maps of detectors side by side, as in the figures of
papers. All maps have one colour scale, from 0 to 1, and none is rescaled."""


def configure(parser: ArgumentParser) -> None:
    """Add description and options."""
    parser.description = DESCRIPTION
    parser.add_argument("detectors", nargs="+", metavar="DETECTOR", help=DETECTOR)
    parser.add_argument("--backbone", metavar="NAME", help="of detectors given by name (default: tiny)")
    parser.add_argument("--weights", metavar="TAG|PATH|REPO", help="of detectors given by name")
    data = parser.add_argument_group("images (default: 4 of each class at random)")
    add_data(data, "[NAME=]LAYOUT:PATH", split=False)
    choice = data.add_mutually_exclusive_group()
    choice.add_argument("--images", nargs="+", metavar="FILE", help="names or ends of paths, e.g. 'bent_lead/00?.png'")
    choice.add_argument("--random", type=int, metavar="N", help="N per class, taking turns among defect types")
    choice.add_argument("--worst", type=int, metavar="N", help="N per class with the worst scores of detector 1")
    choice.add_argument("--best", type=int, metavar="N", help="N per class with the best scores of detector 1")
    data.add_argument("--seed", type=int, default=0, metavar="N", help="of --random (default: 0)")
    data.add_argument("--evaluation", type=Path, metavar="DIR", help="takes scores for --worst, --best from it")
    data.add_argument(
        "--max-images", type=int, default=50, metavar="N", help="else scored per class and label (default: 50)"
    )
    figure = parser.add_argument_group("figure")
    figure.add_argument("--out", type=Path, required=True, metavar="FILE", help="ends in .png or .pdf")
    figure.add_argument("--label", action="append", metavar="NAME", help="of each detector, in order; repeatable")
    figure.add_argument("--columns", type=int, metavar="N", help="images side by side (default: 1; transposed: 6)")
    figure.add_argument("--transpose", action="store_true", help="images side by side, detectors in rows")
    figure.add_argument("--map-only", action="store_true", help="maps alone, not overlaid on the images")
    add_runtime(parser)
    parser.set_defaults(run=run)


def run(options: Namespace) -> int:
    """Choose images, draw, and print what is in the figure."""
    from zsad.data.specification import data_set
    from zsad.gallery.choice import candidates
    from zsad.gallery.drawing import check_file, gallery

    check_file(options.out)
    available = candidates([data_set(specification) for specification in options.data], options.classes)
    detectors = [_loaded(name, options) for name in options.detectors]
    drawn = gallery(
        detectors,
        choose(available, detectors[0], options),
        options.out,
        labels=options.label,
        columns=options.columns,
        map_only=options.map_only,
        transposed=options.transpose,
        among=available,
    )
    for warning in drawn.warnings:
        say(f"! {warning}")
    sheets = f", {drawn.pages} pages" if drawn.pages > 1 else ""
    images = f"{drawn.images} image{'s' if drawn.images > 1 else ''}"
    say(f"figure: {options.out} ({images}{sheets})")
    return 0


def choose(available: list["GalleryCandidate"], first: "Detector", options: Namespace) -> list["GalleryCandidate"]:
    """The images of the figure."""
    from zsad.errors import ConfigError
    from zsad.gallery.choice import at_random, evaluated_scores, extreme, named, predicted_scores
    from zsad.results import store

    ranked = options.worst is not None or options.best is not None
    if options.evaluation and not ranked:
        rule = "an evaluation ranks images, for --worst or --best"
        raise ConfigError(rule, options.evaluation, "say one of them, or leave --evaluation out")
    if options.images:
        return named(available, options.images)
    if not ranked:
        return at_random(available, 4 if options.random is None else options.random, options.seed)
    if options.evaluation:
        scores = evaluated_scores(available, options.evaluation)
        ranking = store.read(options.evaluation).detector
        if ranking.fingerprint != first.fingerprint:
            say(f"! Ranked by the scores of another detector than the first: {ranking.name}, as evaluated.")
    else:
        scores = predicted_scores(available, first, options.max_images)
    if options.worst is None:
        return extreme(available, "best", options.best, scores)
    return extreme(available, "worst", options.worst, scores)


def _loaded(name: str, options: Namespace) -> "Detector":
    """A detector; backbone and weights apply to those that are given by name."""
    from zsad import methods
    from zsad.loading import load

    is_method = name in methods.names()
    return load(
        name,
        backbone=options.backbone if is_method else None,
        weights=options.weights if is_method else None,
        runtime=RuntimeConfig.from_options(options),
    )

"""``zsad calibrate DETECTOR``: from normal images, or labelled ones, to thresholds and p-values."""

import os
from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import TYPE_CHECKING

from zsad.cli.fit import refuse_skipped
from zsad.cli.options import add_detector, add_runtime, describe, detector_argument, load_detector
from zsad.wording import say

if TYPE_CHECKING:
    from zsad.calibration import Calibration, Criterion

DESCRIPTION = """Choose the threshold of a detector on images of known state, and save it with the detector: predictions
then say normal or anomalous, with a p-value. From normal images alone: a false-positive rate that holds of new ones."""
FIXED = ("backbone", "weights", "activation", "position_resize", "image_size", "set", "value_range", "tile")
"""Options that make another detector of the one in a folder."""


def configure(parser: ArgumentParser) -> None:
    """Add description and options."""
    parser.description = DESCRIPTION
    parser.add_argument("--normal", type=Path, required=True, metavar="DIR", help="normal images")
    parser.add_argument("--abnormal", type=Path, metavar="DIR", help="anomalous images")
    parser.add_argument("--class-name", default="object", metavar="WORDS", help='what they show, e.g. "metal nut"')
    parser.add_argument("--out", type=Path, metavar="DIR", help="folder of the detector (default: that of DETECTOR)")
    group = parser.add_argument_group("criterion").add_mutually_exclusive_group()
    group.add_argument("--fpr", type=float, metavar="P", help="false-positive rate of normal images (default: 0.05)")
    group.add_argument("--tpr", type=float, metavar="P", help="share of the anomalous images")
    group.add_argument("--f1", action="store_true", help="where F1 is highest")
    group.add_argument("--youden", action="store_true", help="where TPR - FPR is highest")
    add_detector(parser, positional=True)
    add_runtime(parser)
    parser.set_defaults(run=run)


def run(options: Namespace) -> int:
    """Score the images, choose thresholds, save them."""
    from tqdm import tqdm

    from zsad import checkpoint

    out = _out(options)
    normal, abnormal = images_in(options.normal), images_in(options.abnormal) if options.abnormal else []
    criterion, target = criterion_of(options)
    detector = load_detector(options)
    say(describe(detector))
    with tqdm(total=len(normal) + len(abnormal), unit="image", disable=None) as bar:
        found = detector.calibrate(
            [*normal],
            [*abnormal],
            options.class_name,
            criterion=criterion,
            target=target,
            progress=lambda done: bar.update(done - bar.n),
        )
    if _is_in_place(options, out):  # the calibration alone is written, so that a kill spoils nothing
        checkpoint.write_calibration(found, out)
    else:
        detector.save(out)
    say("\n".join(report(found)))
    say(f"detector: {out} (use it with --detector {detector_argument(out)})")
    return 0


def criterion_of(options: Namespace) -> "tuple[Criterion, float | None]":
    """The criterion, and its rate where it has one."""
    if options.f1:
        return "f1", None
    if options.youden:
        return "youden", None
    return ("fpr", options.fpr) if options.tpr is None else ("tpr", options.tpr)


def report(found: "Calibration") -> "list[str]":
    """Thresholds, what they do to these images, and what holds of new ones, in lines of at most 80 columns."""
    from textwrap import wrap

    caught = found.true_positive_rate
    scores = found.normal_scores
    lines = [
        f"calibrated on {found.summary}",
        f"of these, {sum(score >= found.threshold for score in scores)} of {len(scores)} normal images are called "
        f"anomalous ({found.false_positive_rate:.1%})"
        + ("" if caught is None else f", and {caught:.1%} of {len(found.anomalous_scores)} anomalous ones"),
        "pixel threshold: "
        + ("none, maps of normal images reach 1" if found.pixel_threshold is None else f"{found.pixel_threshold:.4g}"),
        found.guarantee,
    ]
    return [part for line in lines for part in wrap(line, 80, subsequent_indent="  ", break_on_hyphens=False)]


def _out(options: Namespace) -> Path:
    """Where the detector is saved.

    Raises:
        ConfigError: no folder is named, and the detector has none or is made another.
    """
    from zsad.errors import ConfigError

    if options.out is not None:
        return Path(options.out)
    if not _is_folder(options.detector):
        rule = "a calibration is saved with its detector"
        raise ConfigError(rule, f"the name {options.detector} and no folder", "say --out DIR")
    if changed := _changed(options):
        rule = "a detector is calibrated in its folder as it was saved"
        raise ConfigError(rule, ", ".join(changed), "leave them out, or say --out DIR for another detector")
    return Path(options.detector)


def _is_in_place(options: Namespace, out: Path) -> bool:
    """Whether the detector is saved where it is, as it is."""
    same = os.path.realpath(out) == os.path.realpath(options.detector)
    return _is_folder(options.detector) and same and not _changed(options)


def _is_folder(detector: str) -> bool:
    from zsad import methods

    return detector not in methods.names() and Path(detector).is_dir()


def _changed(options: Namespace) -> list[str]:
    """Options that are given and make another detector of the one in a folder."""
    return [f"--{name.replace('_', '-')}" for name in FIXED if getattr(options, name)]


def images_in(folder: Path) -> list[Path]:
    """The images of a folder, all of which can be read.

    Raises:
        InputError: there are none, or one cannot.
    """
    from zsad.data.sources import check_not_empty, scan

    scanned = scan([folder])
    refuse_skipped(scanned.skipped_files)
    check_not_empty(scanned)
    return scanned.images

"""``zsad predict PATH...``: score images, draw heat maps, write a report."""

import os
from argparse import ArgumentParser, Namespace
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zsad.cli import predict_manifest
from zsad.cli.answers import JsonLines, Sink, Tally, Teller, write
from zsad.cli.fit import readable
from zsad.cli.options import (
    add_detector,
    add_runtime,
    describe,
    load_any,
    path_or_url,
    run_info,
    show_warnings,
)
from zsad.wording import pluralised, printable, say

if TYPE_CHECKING:
    from zsad.data.series import Frame
    from zsad.data.sources import ImageScan
    from zsad.export import ExportedDetector
    from zsad.predictor import Detector
    from zsad.reports.predictions import ReportWriter, RunInfo
    from zsad.types import DecodedImage, Failure, Prediction

    Answer = tuple[DecodedImage, Prediction] | Failure

DESCRIPTION = """Score images of objects the model was never trained on, and draw where they look anomalous. Exit
status: 0 every image has a score, 1 some have none and are named, 2 nothing could be done."""
LARGEST_AREA = 10**12
"""Bound of --min-area in px; no image has as many."""
MAX_NOTES = 3
"""Kinds of notes on images that the terminal shows."""


def configure(parser: ArgumentParser) -> None:
    """Add description and options."""
    parser.description = DESCRIPTION
    parser.add_argument("paths", nargs="+", metavar="PATH", help="image, folder, glob pattern; - or @FILE: a list")
    parser.add_argument("--class-name", default="object", metavar="WORDS", help='what they show, e.g. "metal nut"')
    parser.add_argument("--out", type=path_or_url, metavar="DIR", help="default: runs/predict; with --json, none")
    parser.add_argument("--json", action="store_true", help="print an object of JSON a line, as images are scored")
    parser.add_argument("--quiet", action="store_true", help="print nothing else but errors")
    parser.add_argument("--normal", type=Path, metavar="DIR", help="normal images, for this run (zsad fit saves them)")
    parser.add_argument(
        "--threshold",
        type=float,
        metavar="P",
        help="anomalous from this score (default: calibrated)",
    )
    _add_series(parser)
    _add_regions(parser)
    predict_manifest.add_options(parser)
    add_detector(parser)
    add_runtime(parser, batch_size="auto")
    parser.set_defaults(run=run)


def _add_series(parser: ArgumentParser) -> None:
    group = parser.add_argument_group("series", "pages, slices and pictures of a video: a row each, FILE#0 to FILE#n")
    group.add_argument("--frames", metavar="START:STOP:STEP", help="as Python counts, or one number (default: all)")
    group.add_argument("--axis", type=int, metavar="N", help="of volumes, across the slices (default: see docs)")


def _add_regions(parser: ArgumentParser) -> None:
    group = parser.add_argument_group("regions", "anomalous parts of images, as JSON, CSV, COCO and LabelMe")
    group.add_argument(
        "--pixel-threshold",
        type=float,
        metavar="P",
        help="in a region from this score (default: calibrated)",
    )
    group.add_argument("--min-area", type=int, default=1, metavar="PX", help="of a region, in pixels (default: 1)")
    group.add_argument(
        "--overlay",
        choices=("heat", "outline"),
        default="heat",
        help="heat map, or lines around the regions (default: heat)",
    )


def run(options: Namespace) -> int:
    """Predict, write the report or lines of JSON, and print a summary."""
    from tqdm import tqdm

    from zsad.results.schema import judged_by

    _check_regions(options)
    if options.engine:
        return predict_manifest.run(options)
    predict_manifest.check_unused(options)
    if options.out is None and not options.json:
        options.out = predict_manifest.DEFAULT_OUT
    normal = readable(options.normal)
    scanned, sources = _scan(options, normal)
    detector = load_any(options, options.threshold)
    _set_regions(options, detector)
    if normal:
        _fit(detector, normal, options.class_name)
    tell = Teller(options.json, options.quiet)
    tell(describe(detector))
    bar = None if options.quiet else _FirstPassBar(len(sources))
    stream = detector.stream(sources, options.class_name, progress=bar)
    with show_warnings(options.quiet) as warnings:
        warnings += detector.memory_warnings(options.class_name)
        warnings += detector.calibration_warnings(options.class_name)
        for warning in warnings:
            tell(f"zsad: warning: {warning}", stderr=True)
        answers = iter(tqdm(stream, total=len(sources), unit="image", disable=options.quiet or None))
        # An error that every image has shows before an earlier report is replaced.
        first_answers = _until_first_score(answers)
        about = _about(options, detector)
        for line in wrapped(judged_by(about.setting, about.explanation)):
            tell(line)
        with ExitStack() as stack:
            sinks: list[Sink] = [JsonLines(about.setting, options.min_area)] if options.json else []
            report = None
            if options.out is not None:
                report = stack.enter_context(_report(options.out, about, warnings, scanned, sources))
                sinks.append(report)
            tally = Tally()
            _write([*sinks, tally], scanned, chain(first_answers, answers))
    if report is not None:
        tell("\n".join(summary(report, scanned, calibrating(detector, options.detector))))
        tell(f"report: {options.out / 'report.html'}")
    else:
        threshold = detector.decision(options.class_name).threshold
        tell("\n".join(decided(tally.decisions, threshold, calibrating(detector, options.detector))))
    return 1 if tally.failures else 0


def _about(options: Namespace, detector: "Detector | ExportedDetector") -> "RunInfo":
    return replace(run_info(detector, options.class_name), min_area=options.min_area, overlay=options.overlay)


def _report(
    out: Path,
    about: "RunInfo",
    warnings: list[str],
    scanned: "ImageScan",
    sources: "Sequence[Frame | Path]",
) -> "ReportWriter":
    from zsad.reports.predictions import ReportWriter
    from zsad.threads import helpers

    return ReportWriter(out, about, warnings, scanned.describe_ignored(), helpers(), sources)


def _fit(detector: "Detector | ExportedDetector", normal: Sequence[Path], class_name: str) -> None:
    from zsad.predictor import Detector

    assert isinstance(detector, Detector)  # with an exported one, --normal is refused
    detector.fit_normal([*normal], class_name)


def _check_regions(options: Namespace) -> None:
    """Check the options about regions, before anything is read."""
    from zsad.config import check_within
    from zsad.errors import ConfigError

    if options.pixel_threshold is not None and not 0 <= options.pixel_threshold <= 1:
        rule, remedy = "a threshold for pixels lies in [0, 1]", "give a number such as --pixel-threshold 0.5"
        raise ConfigError(rule, options.pixel_threshold, remedy)
    if options.min_area < 1:
        raise ConfigError("a region has at least 1 px", options.min_area, "change --min-area")
    check_within("the area of a region in px (--min-area)", options.min_area, 1, LARGEST_AREA)


def _set_regions(options: Namespace, detector: "Detector | ExportedDetector") -> None:
    """Give the detector the threshold for pixels, and see that outlines have one."""
    from zsad.reports.predictions import check_overlay

    if options.pixel_threshold is not None:
        detector.pixel_threshold = options.pixel_threshold
    check_overlay(options.overlay, detector.decision(options.class_name).pixel_threshold)


class _FirstPassBar:
    """A progress bar that appears where images are read before the first of them has a score."""

    def __init__(self, total: int) -> None:
        self.total = total
        self.bar: Any = None

    def __call__(self, done: int) -> None:
        from tqdm import tqdm

        if self.bar is None:
            self.bar = tqdm(total=self.total, unit="image", desc="compared", leave=False, disable=None)
        self.bar.update(done - self.bar.n)
        if done == self.total:
            self.bar.close()


def _scan(options: Namespace, normal: Sequence[Path]) -> "tuple[ImageScan, list[Frame | Path]]":
    """The images and frames to be scored, without images that are known to be normal, and what was found beside them.

    Files that cannot be read are named.
    """
    from zsad.data.lists import scan_arguments
    from zsad.data.series import FrameSelection, expand
    from zsad.data.sources import check_not_empty
    from zsad.errors import InputError

    selection = FrameSelection.parse(options.frames or ":")
    scanned = scan_arguments(options.paths, with_series=True)
    # Heat maps of an earlier run are no images to score.
    outside = [path for path in scanned.images if options.out is None or not _below(path, options.out)]
    if scanned.images and not outside:
        raise InputError("there is an image to score outside of the output folder", "none", "choose another --out")
    known = {os.path.realpath(path) for path in normal}
    scanned.images = [path for path in outside if os.path.realpath(path) not in known]
    if outside and not scanned.images:
        raise InputError("there is an image to score that is not in --normal", "none", "name other images to score")
    sources, skipped = expand(scanned.images, selection, options.axis)
    scanned.skipped_files += skipped
    for failure in scanned.skipped_files:
        say(f"zsad: left out: {failure.message}", stderr=True)
    scanned.images = scanned.images if sources else []
    check_not_empty(scanned)
    return scanned, sources


def _until_first_score(answers: "Iterator[Answer]") -> "list[Answer]":
    """The answers up to the first that is no failure."""
    from zsad.types import Failure

    first_answers = []
    for answer in answers:
        first_answers.append(answer)
        if not isinstance(answer, Failure):
            break
    return first_answers


def _write(sinks: Sequence[Sink], scanned: "ImageScan", answers: "Iterator[Answer]") -> None:
    from zsad.types import Failure

    for failure in scanned.skipped_files:  # which were named before
        for sink in sinks:
            sink.add_failure(failure.source, failure.message)
    for answer in answers:
        if isinstance(answer, Failure):
            for sink in sinks:
                sink.add_failure(answer.source, answer.message)
            write(printable(f"zsad: skipped: {answer.message}"), stderr=True)
        else:
            for sink in sinks:
                sink.add(*answer)


def _below(path: Path, folder: Path) -> bool:
    return Path(os.path.realpath(path)).is_relative_to(os.path.realpath(folder))  # resolve() raises where links loop


def summary(report: "ReportWriter", scanned: "ImageScan", remedy: str) -> Iterator[str]:
    """Lines of at most 80 columns for the terminal: the highest scores, how many were scored and failed, and notes."""
    from zsad.reports.earlier import TABLE
    from zsad.reports.ranking import FIRST, RankedImage, ranking

    entries = report.entries
    if entries:
        images = [RankedImage(entry.source, entry.score, entry.is_anomalous, entry.p_value) for entry in entries]
        yield ""
        yield from ranking(images)
        if len(entries) > FIRST:
            yield f"and {len(entries) - FIRST:,} with lower scores, in {report.out / TABLE}"
        yield ""
    yield from decided([entry.is_anomalous for entry in entries], report.run.threshold, remedy)
    if report.run.pixel_threshold is not None:
        counts = [entry.regions or 0 for entry in entries]
        where = f"{pluralised(sum(counts), 'region')} in {pluralised(sum(map(bool, counts)), 'image')}"
        yield f"{where} (pixels with a score ≥ {report.run.pixel_threshold:g})."
    if report.failures:
        yield f"{len(report.failures):,} without a score: see the lines above (exit status 1)."
    notes = [f"note: {warning}" for warning in report.warnings]
    notes += remarks([entry.notes for entry in entries])
    if scanned.describe_ignored():
        notes.append(f"not taken for images: {scanned.describe_ignored()}")
    for text in notes:
        yield from wrapped(text)


def decided(decisions: Sequence[bool | None], threshold: float | None, remedy: str) -> Iterator[str]:
    """How many images were scored and how many are anomalous, or why none is called so and what to do.

    >>> list(decided([True, False], 0.4, "--threshold P"))
    ['2 images scored, 1 anomalous (score ≥ 0.4).']
    >>> print("\\n".join(decided([None, None], None, "--threshold P")))
    2 images scored and ranked; none is called normal or anomalous.
    uncalibrated: --threshold P
    """
    scored = f"{pluralised(len(decisions), 'image')} scored"
    if threshold is not None:
        yield f"{scored}, {sum(map(bool, decisions)):,} anomalous (score ≥ {threshold:g})."
        return
    yield f"{scored} and ranked; none is called normal or anomalous."
    yield from wrapped(f"uncalibrated: {remedy}")


def calibrating(detector: "Detector | ExportedDetector", argument: str) -> str:
    """How the detector gets a threshold.

    Args:
        detector: an uncalibrated one.
        argument: name or folder, as it was given.
    """
    from zsad.export import ExportedDetector

    if isinstance(detector, ExportedDetector):
        with_int8 = " with --int8 --normal DIR" if detector.card.loss else ""
        return f"give --threshold P, or calibrate the detector and export it again{with_int8}"
    from zsad import methods
    from zsad.methods import FewShot, TransductiveMethod

    method = detector.method
    if isinstance(method, TransductiveMethod) and method.scores_folder(2):  # which has to be fitted first
        fitting = f", or first zsad fit {argument}, then zsad calibrate" if isinstance(method, FewShot) else ""
        return f"give --threshold P{fitting}"
    # A saved detector is calibrated where it is.
    out = " --out DIR" if argument in methods.names() else ""
    return f"zsad calibrate {argument} --normal DIR{out}, or --threshold P"


def wrapped(text: str) -> list[str]:
    """The text in lines of at most 80 columns; words that are longer stay whole."""
    from textwrap import wrap

    return wrap(text, 80, subsequent_indent="  ", break_on_hyphens=False, break_long_words=False)


def remarks(notes: Sequence[Sequence[str]]) -> Iterator[str]:
    """Notes on images, each kind once, with how many have it.

    >>> list(remarks([("page 1 of 7 was read",), (), ("page 1 of 7 was read",)]))
    ['note: 2 images: page 1 of 7 was read']
    """

    kinds = Counter(note for image_notes in notes for note in image_notes)
    for note, count in kinds.most_common(MAX_NOTES):
        yield f"note: {pluralised(count, 'image')}: {note}"
    if len(kinds) > MAX_NOTES:
        yield f"note: {len(kinds) - MAX_NOTES:,} more kinds of notes, in the report at their images"

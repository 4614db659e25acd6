"""``zsad evaluate DETECTOR``: measure a detector on labelled data."""

import sys
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from pathlib import Path
from typing import TYPE_CHECKING

from zsad.cli.options import add_data, add_detector, add_runtime, command_line, describe, load_detector, read_data
from zsad.wording import pluralised, printable, say

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tqdm import tqdm

    from zsad.data.specification import DataSet
    from zsad.evaluator.class_evaluator import Progress
    from zsad.results.schema import DataSetResult, Evaluation, Protocol

DESCRIPTION = """Measure a detector on labelled data: exact metrics of each class and their means, with confidence
intervals, and a report with the worst errors. The same command again resumes where it was interrupted. --shots K
first shows the detector K normal images of the train split of each class (methods with a few-shot mode). Several
detectors are measured on the same pass over each image, each in a folder of its name in DIR."""
RESAMPLES = 1000
"""Draws of the images of a class, for intervals."""


def configure(parser: ArgumentParser) -> None:
    """Add description and options."""
    parser.description = DESCRIPTION
    add_detector(parser, several=True)
    maps = parser.add_argument_group("maps of another tool, instead of a detector")
    maps.add_argument("--maps", type=Path, metavar="DIR", help=".npy, or grey PNG or TIFF, named as the images")
    maps.add_argument("--scores", type=Path, metavar="FILE", help="CSV: source, score (default: maxima of maps)")
    data = parser.add_argument_group("data")
    add_data(data, "[NAME=]LAYOUT:PATH")
    data.add_argument(
        "--max-images", type=int, metavar="N", help="per class and label, for a quick look (default: all)"
    )
    data.add_argument(
        "--allow-training-data", action="store_true", help="even if trained on these images; results say so"
    )
    protocol = parser.add_argument_group("protocol")
    protocol.add_argument(
        "--resolution",
        type=resolution,
        default=518,
        metavar="PX|own",
        help="of maps and masks; own: the image's (default: 518)",
    )
    protocol.add_argument(
        "--shots", type=int, default=0, metavar="K", help="normal images per class (default: 0, zero-shot)"
    )
    protocol.add_argument("--shots-seed", type=int, default=0, metavar="S", help="of their random choice (default: 0)")
    protocol.add_argument(
        "--metrics", nargs="+", default=[], metavar="NAME", help="also: fpr95, aupimo, pro-5, spro, seg-f1; see docs"
    )
    protocol.add_argument("--no-intervals", action="store_true", help="no bootstrap confidence intervals")
    add_runtime(parser)
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="for metrics, curves and the report")
    parser.add_argument("--overwrite", action="store_true", help="replace another evaluation in DIR")
    parser.set_defaults(run=run)


def run(options: Namespace) -> int:
    """Evaluate with a progress bar, and print the tables."""
    from zsad.evaluator.evaluation import several_names
    from zsad.results.schema import Protocol
    from zsad.results.store import PAGE

    _check_judges(options)
    data_sets = read_data(options)
    protocol = Protocol(
        resolution=options.resolution,
        split=options.split,
        max_images=options.max_images,
        shots=options.shots,
        shots_seed=options.shots_seed,
        resamples=0 if options.no_intervals else RESAMPLES,
        further=several_names(options.metrics),
    )
    bars = Bars()
    try:
        evaluations = _evaluate(options, data_sets, protocol, bars)
    finally:
        bars.close()
    found = list(evaluations.values())
    say(format_evaluations(found) if len(found) > 1 else format_evaluation(found[0]))
    for folder in evaluations:
        say(f"report: {folder / PAGE}")
    results = [result for evaluation in found for data in evaluation.data_sets for result in data.classes]
    unreadable = dict.fromkeys(reason for result in results for reason in result.unreadable.values())
    for reason in unreadable:
        say(f"zsad: left out: {reason}", stderr=True)
    return 1 if unreadable else 0


def _evaluate(
    options: Namespace, data_sets: "list[DataSet]", protocol: "Protocol", bars: "Bars"
) -> "dict[Path, Evaluation]":
    """The evaluation of each folder."""
    from zsad.evaluator.evaluation import evaluate_maps, folders_of
    from zsad.evaluator.runs import Request, evaluate_into

    out, command, watch = options.out, command_line(), bars.show
    if options.maps is not None:
        wanted = {"scores": options.scores, "classes": options.classes, "overwrite": options.overwrite}
        return {out: evaluate_maps(options.maps, data_sets, out, protocol, **wanted, command=command, watch=watch)}
    detectors = [load_detector(options, detector=name) for name in options.detectors]
    say("\n".join(map(describe, detectors)))
    folders = folders_of(detectors, out) if len(detectors) > 1 else {out: detectors[0]}
    request = Request(options.classes, options.allow_training_data, options.overwrite, command, watch)
    return dict(zip(folders, evaluate_into(folders, data_sets, protocol, request), strict=True))


def _check_judges(options: Namespace) -> None:
    """Detectors or maps, one of them.

    Raises:
        ConfigError: both are named, or none, or scores without maps.
    """
    from zsad.errors import ConfigError

    if bool(options.detectors) == (options.maps is not None):
        found = "both" if options.maps else "neither"
        raise ConfigError("detectors are evaluated, or maps", found, "name a detector, or say --maps DIR")
    if options.scores is not None and options.maps is None:
        raise ConfigError("scores belong to maps", options.scores, "say --maps DIR as well, or leave --scores out")


class Bars:
    """A progress bar for each class, on a terminal."""

    def __init__(self) -> None:
        self._bar: tqdm[None] | None = None
        self._name = ""

    def show(self, progress: "Progress") -> None:
        """Start or update a bar."""
        from tqdm import tqdm

        name = f"{progress.data_set} {progress.class_name}"
        if self._bar is None or name != self._name:
            self.close()
            self._name = name
            self._bar = tqdm(desc=printable(name), total=progress.of, unit="image", disable=None, file=sys.stderr)
        self._bar.update(progress.scored - self._bar.n)

    def close(self) -> None:
        """Close the last bar."""
        if self._bar is not None:
            self._bar.close()


def format_evaluation(evaluation: "Evaluation") -> str:
    """The results, for a terminal of 80 columns."""
    from textwrap import wrap

    from zsad.reports.terminal import WIDTH, evaluation_table, further_table
    from zsad.results.schema import SETTINGS

    parts = []
    for result in evaluation.data_sets:
        warnings = [line for text in result.warnings for line in wrap(f"! {text}", WIDTH, subsequent_indent="  ")]
        table = evaluation_table(result, evaluation.protocol.confidence)
        further = further_table(result) if result.further else []
        parts.append("\n".join([table, *further, *warnings, format_cost(result)]))
    at = evaluation.protocol.resolution
    where = f"{at}×{at} px" if at else "each image's own size"
    legend = [f"Percent; classes count alike; maps and masks compared at {where}."]
    if shots := evaluation.protocol.shots:
        legend += wrap(
            f"Few-shot ({evaluation.protocol.shown}): each class is judged by a memory of "
            f"{pluralised(shots, 'normal image')} of its own train split.",
            WIDTH,
        )
    elif (setting := evaluation.detector.setting) != "zero-shot":
        legend += wrap(f"{setting.capitalize()}: {SETTINGS[setting]}; do not compare with other settings.", WIDTH)
    return "\n\n".join([*parts, "\n".join(legend)])


def format_evaluations(evaluations: "Sequence[Evaluation]") -> str:
    """The means of several detectors on the same data, for a terminal of 80 columns."""
    from textwrap import wrap

    from zsad.reports.terminal import WIDTH, detectors_table

    first = evaluations[0]
    parts = [
        "\n".join([*detectors_table(evaluations, index), format_cost(data_set)])
        for index, data_set in enumerate(first.data_sets)
    ]
    settings = {evaluation.detector.setting for evaluation in evaluations}
    at = first.protocol.resolution
    where = f"{at}×{at} px" if at else "each image's own size"
    legend = f"Percent, means over classes, which count alike; maps and masks compared at {where}."
    if len(settings) > 1:
        legend += " Settings differ: do not compare across them."
    return "\n\n".join([*parts, "\n".join(wrap(legend, WIDTH))])


def format_cost(result: "DataSetResult") -> str:
    """Time and memory of a data set."""
    images, seconds = (
        sum(scored.normal + scored.anomalous for scored in result.classes),
        sum(scored.seconds for scored in result.classes),
    )
    memory = max(scored.peak_memory_mb for scored in result.classes)
    shared = max(scored.detectors for scored in result.classes)
    by = f" by {shared} detectors together" if shared > 1 else ""
    return f"{images} images in {seconds:.1f} s{by}, {images / seconds:.1f} a second; peak memory {memory:.0f} MB"


def resolution(text: str) -> int | None:
    """A number of pixels, or ``own``.

    >>> resolution("518"), resolution("own")
    (518, None)
    """
    if text == "own":
        return None
    if not text.isdecimal():
        raise ArgumentTypeError(f"{text!r} is neither a number of pixels nor own")
    return int(text)

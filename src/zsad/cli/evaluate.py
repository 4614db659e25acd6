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

    from zsad.evaluator.class_evaluator import Progress
    from zsad.results.schema import DataSetResult, Evaluation

DESCRIPTION = """Measure a detector on labelled data: exact metrics of each class and their means, with confidence
intervals, and a report with the worst errors. The same command again resumes where it was interrupted. --shots K
first shows the detector K normal images of the train split of each class (methods with a few-shot mode). Several
detectors are measured on the same pass over each image, each in a folder of its name in DIR."""


def configure(parser: ArgumentParser) -> None:
    """Add description and options."""
    parser.description = DESCRIPTION
    add_detector(parser, several=True)
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
    from zsad.evaluator.evaluation import Request, evaluate_into, folders_of, several_names
    from zsad.results.schema import Protocol
    from zsad.results.store import PAGE

    data_sets = read_data(options)
    protocol = Protocol(
        resolution=options.resolution,
        split=options.split,
        max_images=options.max_images,
        shots=options.shots,
        shots_seed=options.shots_seed,
        resamples=0 if options.no_intervals else 1000,
        further=several_names(options.metrics),
    )
    detectors = [load_detector(options, detector=name) for name in options.detectors]
    say("\n".join(map(describe, detectors)))
    folders = folders_of(detectors, options.out) if len(detectors) > 1 else {options.out: detectors[0]}
    bars = Bars()
    try:
        request = Request(options.classes, options.allow_training_data, options.overwrite, command_line(), bars.show)
        first, *more = evaluations = evaluate_into(folders, data_sets, protocol, request)
    finally:
        bars.close()
    say(format_evaluations(evaluations) if more else format_evaluation(first))
    for folder in folders:
        say(f"report: {folder / PAGE}")
    results = [result for evaluation in evaluations for data in evaluation.data_sets for result in data.classes]
    unreadable = dict.fromkeys(reason for result in results for reason in result.unreadable.values())
    for reason in unreadable:
        say(f"zsad: left out: {reason}", stderr=True)
    return 1 if unreadable else 0


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

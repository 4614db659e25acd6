"""The demonstration: one seeded choice of photographs, judged by text, by one another, and by known-good ones.

Ground truth is used for the choice and for the AUROC alone: no detector sees it, except that known-good cells are
known to be good.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from PIL import Image
from tqdm import tqdm

from zsad.config import check_seed
from zsad.data.layouts._base import Sample
from zsad.drawing.render import eight_bit
from zsad.errors import ConfigError, DependencyError, InputError
from zsad.gallery.figure import pages
from zsad.gallery.panels import Panel, Style, map_panel
from zsad.metrics import auroc, bootstrap_interval
from zsad.predictor import Detector
from zsad.results.schema import Setting, setting_by
from zsad.types import DecodedImage, Failure, Prediction
from zsad.wording import shorten_middle

CLASS_NAME = "solar cell"
SHOWN = 2
"""Images of each kind in the figure of heat maps: the first of the choice, not the best."""
SCALE = 1.5
"""Pixels a unit of the figure: a panel is 270 px wide."""
FIRST = 12
"""Lines of the table of images."""

Answer = tuple[DecodedImage, Prediction]


@dataclass(frozen=True)
class Judged:
    """What a detector says of all samples.

    Attributes:
        by: what judged them, for a table.
        heading: the same in a word or three, for a column.
        scores: of the samples, in their order.
        answers: of those that the figure shows, by their number.
        setting: whether each sample was judged alone, with reference images, or all by one another.
    """

    by: str
    heading: str
    scores: list[float]
    answers: dict[int, Answer]
    setting: Setting = "zero-shot"


def photographs() -> Path:
    """The folder of the photographs in the package ``elpv-dataset``.

    Raises:
        DependencyError: it is not installed.
    """
    package = find_spec("elpv_dataset")
    if package is None or package.origin is None:
        raise DependencyError(
            "the demo needs the photographs of elpv-dataset", "no such package", "pip install 'zsad[demo]'"
        )
    return Path(package.origin).parent / "data"


def choose(samples: Sequence[Sample], count: int, normal: int, seed: int) -> tuple[list[Sample], list[Sample]]:
    """Draw the samples to judge, and other normal ones to compare them with.

    Args:
        samples: all there are.
        count: intact and as many defective samples to judge; intact ones come first.
        normal: further intact ones.
        seed: of the draw; the samples to judge do not depend on ``normal``.

    Raises:
        ConfigError: there are fewer, or a number is below 1.
    """
    check_seed(seed)
    rng = np.random.default_rng(seed)
    intact, defective = ([sample for sample in samples if sample.label == label] for label in (0, 1))
    most = min(len(intact), len(defective))
    if not 1 <= count <= most:
        raise ConfigError(f"the demo shows 1 to {most} images of each kind", count, "change --images")
    if not 1 <= normal <= len(intact) - count:
        rule = f"1 to {len(intact) - count} normal images are left to compare with"
        raise ConfigError(rule, normal, "change --normal")
    first, second = (rng.choice(len(group), count, replace=False) for group in (intact, defective))
    judged = [intact[number] for number in first] + [defective[number] for number in second]
    others = np.setdiff1d(np.arange(len(intact)), first)
    return judged, [intact[number] for number in rng.choice(others, normal, replace=False)]


def stream(detector: Detector, samples: Sequence[Sample], name: str) -> Iterator[Answer]:
    """The answers of a detector, with a progress bar.

    Raises:
        InputError: a photograph cannot be read.
    """
    answers = detector.stream([sample.image for sample in samples], CLASS_NAME)
    for answer in tqdm(answers, desc=name, total=len(samples), unit="image", disable=None):
        if isinstance(answer, Failure):
            raise InputError("the demo's photographs are readable", answer.message, "install elpv-dataset again")
        yield answer


def judge(
    detector: Detector,
    by: str,
    heading: str,
    samples: Sequence[Sample],
    answers: Iterator[Answer],
    write: Callable[[DecodedImage, Prediction], None] | None = None,
) -> Judged:
    """Collect the scores, and the maps that the figure shows.

    Args:
        detector: that gives the answers.
        by, heading: see :class:`Judged`.
        samples: what was judged.
        answers: in the order of the samples.
        write: called with each of them.
    """
    shown = figure_rows(samples)
    judged = Judged(by, heading, [], {})
    for number, (image, prediction) in enumerate(answers):
        judged.scores.append(prediction.score)
        if number in shown:
            judged.answers[number] = image, prediction
        if write:
            write(image, prediction)
    return replace(judged, setting=setting_by(detector.scored_together, has_references=bool(detector.memory_summary)))


def figure_rows(samples: Sequence[Sample]) -> list[int]:
    """The samples that the figure shows: the first few of each kind."""
    by_label = ([number for number, sample in enumerate(samples) if sample.label == label] for label in (0, 1))
    return [number for numbers in by_label for number in numbers[:SHOWN]]


def figure(samples: Sequence[Sample], columns: Sequence[Judged]) -> Image.Image:
    """Photographs, and the heat maps of each detector beside them."""
    style = Style(SCALE)
    rows = []
    for number in figure_rows(samples):
        image, _ = columns[0].answers[number]
        box = style.box(image.size)
        photograph = Image.fromarray(eight_bit(image.pixels)).resize(box[::-1], Image.Resampling.LANCZOS)
        small = DecodedImage(np.asarray(photograph), image.source)
        maps = [map_panel(small, column.answers[number][1], style) for column in columns]
        rows.append([Panel(photograph, samples[number].kind), *maps])
    return pages(["photograph", *(column.heading for column in columns)], rows, 1, style)[0]


def auroc_table(samples: Sequence[Sample], columns: Sequence[Judged]) -> str:
    """The setting and the image AUROC of each detector with its interval, and on how many images."""
    labels = [sample.label or 0 for sample in samples]
    lines = [f"{'judged by':<37}  {'setting':<12}  {'image AUROC':>11}  {'95 % interval':>14}"]
    for column in columns:
        low, high = bootstrap_interval(auroc, column.scores, labels)
        value = auroc(column.scores, labels)
        judged = f"{shorten_middle(column.by, 37):<37}  {column.setting:<12}"
        lines.append(f"{judged}  {value:>11.3f}  {f'{low:.2f} to {high:.2f}':>14}")
    good = labels.count(0)
    return "\n".join([*lines, f"on {good} good and {len(labels) - good} defective cells, the same for all"])


def ranking(samples: Sequence[Sample], columns: Sequence[Judged], by: int) -> str:
    """The images that one of the detectors finds most anomalous, with the scores of all.

    Args:
        samples: what was judged.
        columns: of the table.
        by: the column whose highest scores come first.
    """
    order = sorted(range(len(samples)), key=lambda number: -columns[by].scores[number])
    widths = [max(6, len(column.heading)) for column in columns]
    headings = [f"{column.heading:>{width}}" for column, width in zip(columns, widths, strict=True)]
    lines = ["  ".join([*headings, f"{'ground truth':<27}", "image"])]
    for number in order[:FIRST]:
        scores = [f"{column.scores[number]:>{width}.3f}" for column, width in zip(columns, widths, strict=True)]
        lines.append("  ".join([*scores, f"{samples[number].kind:<27}", samples[number].image.name]))
    rest = len(samples) - FIRST
    return "\n".join([*lines, *([f"and {rest} that “{columns[by].heading}” scores lower"] if rest > 0 else [])])

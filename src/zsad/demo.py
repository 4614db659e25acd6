"""The demonstration: a random choice of photographs with a fixed seed, their predictions, and the image AUROC."""

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from tqdm import tqdm

from zsad.config import check_seed
from zsad.data.layouts._base import Sample
from zsad.errors import ConfigError, DependencyError, InputError
from zsad.metrics import auroc, bootstrap_interval
from zsad.predictor import Detector
from zsad.reports.predictions import ReportWriter
from zsad.reports.ranking import decision
from zsad.reports.render import contact_sheet, save_image
from zsad.types import DecodedImage, Failure, Prediction

CLASS_NAME = "solar cell"
SHOWN = 2
"""Images of each kind on the sheet of heat maps: the first of the choice, not the best."""

Outcome = tuple[Sample, DecodedImage, Prediction]


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


def choose(samples: Sequence[Sample], count: int, seed: int) -> list[Sample]:
    """Draw ``count`` intact and ``count`` defective samples; intact ones first.

    Raises:
        ConfigError: there are fewer, or ``count`` is below 1.
    """
    check_seed(seed)
    rng = np.random.default_rng(seed)
    chosen = []
    for label in (0, 1):
        group = [sample for sample in samples if sample.label == label]
        if not 1 <= count <= len(group):
            raise ConfigError(f"the demo shows 1 to {len(group)} images of each kind", count, "change --images")
        chosen += [group[number] for number in rng.choice(len(group), count, replace=False)]
    return chosen


def run(detector: Detector, samples: Sequence[Sample], report: ReportWriter, out: Path) -> list[Outcome]:
    """Predict the samples, add them to the report, and draw the first few of each kind on one sheet."""
    outcomes: list[Outcome] = []
    answers = detector.stream([sample.image for sample in samples], CLASS_NAME)
    for sample, answer in zip(samples, tqdm(answers, total=len(samples), unit="image", disable=None), strict=True):
        if isinstance(answer, Failure):
            raise InputError("the demo's photographs are readable", answer.message, "install elpv-dataset again")
        report.add(*answer)
        outcomes.append((sample, *answer))
    shown = [group[number] for group in _by_label(outcomes) for number in range(min(SHOWN, len(group)))]
    sheet = contact_sheet([(image, prediction, sample.kind) for sample, image, prediction in shown])
    save_image(sheet, out / "heatmaps.png")
    return outcomes


def table(outcomes: Sequence[Outcome]) -> str:
    """One line an image, the highest score first."""
    lines = [f"{'score':>6}  {'decision':<10} {'ground truth':<28} image"]
    for sample, _, prediction in sorted(outcomes, key=lambda outcome: -outcome[2].score):
        lines.append(
            f"{prediction.score:6.3f}  {decision(prediction.is_anomalous):<10} {sample.kind:<28} {sample.image.name}"
        )
    return "\n".join(lines)


def auroc_summary(outcomes: Sequence[Outcome]) -> str:
    """Image AUROC with a confidence interval, and the number of images."""
    scores = [prediction.score for _, _, prediction in outcomes]
    labels = [sample.label or 0 for sample, _, _ in outcomes]
    low, high = bootstrap_interval(auroc, scores, labels)
    good = labels.count(0)
    return (
        f"image AUROC {auroc(scores, labels):.3f} (95 % bootstrap interval {low:.2f} to {high:.2f})\n"
        f"on {good} good and {len(labels) - good} defective cells"
    )


def _by_label(outcomes: Sequence[Outcome]) -> list[list[Outcome]]:
    return [[outcome for outcome in outcomes if outcome[0].label == label] for label in (0, 1)]

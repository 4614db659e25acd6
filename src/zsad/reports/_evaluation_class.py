"""What the page of an evaluation says of one class: curves, how the scores lie, and the worst misses."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

import numpy as np
from PIL import Image

from zsad.metrics.accumulators import Curve
from zsad.reports import pages
from zsad.reports._evaluation_table import doubt, interval, percent
from zsad.reports.drawings import curve, histogram
from zsad.results import store
from zsad.results.schema import METRICS, TITLES, ClassResult, ImageResult, WorstImage
from zsad.wording import pluralised

SIDE = 200
"""Longer side of a thumbnail in px."""

LARGEST = 20_000
"""Characters that a thumbnail may take, 15 kB; images of which it needs more are packed more tightly."""

QUALITIES = (80, 65, 50, 35, 20)

CURVES = {
    "image_roc": ("image ROC", ("false positive rate", "true positive rate"), 1),
    "image_pr": ("image precision and recall", ("recall", "precision"), 1),
    "pixel_roc": ("pixel ROC", ("false positive rate", "true positive rate"), 1),
    "pixel_pr": ("pixel precision and recall", ("recall", "precision"), 1),
    "pixel_pro": ("PRO", ("false positive rate", "share of a region found"), 0.3),
}
"""Title, axes and the end of the horizontal one, by the names in curves.json."""

SUMMARY = ("image_auroc", "pixel_auroc", "pixel_pro")
"""Metrics named where a class is folded."""

LEGEND = (
    '<span class="legend">Anomaly 0 <i role="img" '
    'aria-label="Colours of the heat maps from 0, dark blue, to 1, yellow"></i> 1</span>'
)


@dataclass(frozen=True)
class ClassFiles:
    """What lies beside the result of a class.

    Attributes:
        images: each image.
        curves: by the names of their metrics.
        misses: the worst.
        worst: folder of their files.
    """

    images: tuple[ImageResult, ...] | None = None
    curves: Mapping[str, Curve] | None = None
    misses: tuple[WorstImage, ...] | None = None
    worst: Path = Path()


def fold_out(found: ClassResult, kept: ClassFiles, place: str, most: int) -> str:
    """Everything about a class, folded under its name.

    Args:
        found: its result.
        kept: what lies beside the result.
        place: where links to it lead.
        most: misses shown.
    """
    numbers = " · ".join(
        f"{TITLES[name]} {percent(value)}"
        for name in SUMMARY
        if name in found.metrics and (value := found.metrics[name].value) is not None
    )
    return (
        f'<details class="class" data-key="{escape(found.class_name)}"><summary><h3>{escape(found.class_name)}</h3>'
        f'{doubt([found])} <span>{numbers or "no metric is defined"}</span></summary><div class="inside" id="{place}">'
        f"{_facts(found)}{_curves(found, kept)}{_scores(kept)}{_misses(kept, most)}</div></details>"
    )


def best_threshold(images: Sequence[ImageResult]) -> float | None:
    """The score from which images count as anomalous where F1 is highest; the lowest such score.

    None where a state is missing.
    """
    normal, anomalous = (np.sort([one.score for one in images if one.label == label]) for label in (0, 1))
    if not len(normal) or not len(anomalous):
        return None
    thresholds = np.unique(np.concatenate([normal, anomalous]))
    found = len(anomalous) - np.searchsorted(anomalous, thresholds)
    called = found + len(normal) - np.searchsorted(normal, thresholds)
    return float(thresholds[np.argmax(2 * found / (called + len(anomalous)))])


def thumbnail(path: Path) -> str:
    """A small JPEG for the ``src`` of an image, of at most ``LARGEST`` characters where any quality reaches that."""
    with Image.open(path) as file:
        image = file.convert("RGB")
    image.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS)
    packed = (pages.data_uri(image, SIDE, quality) for quality in QUALITIES)
    return next((uri for uri in packed if len(uri) <= LARGEST), pages.data_uri(image, SIDE, QUALITIES[-1]))


def _facts(found: ClassResult) -> str:
    facts = {
        "told to the detector": f"“{found.prompt}”",
        "normal": f"{found.normal:,}",
        "anomalous": f"{found.anomalous:,}",
        "of these without mask": f"{found.without_mask:,}",
        "left out: unlabelled": f"{found.unlabelled:,}",
        "left out: unreadable": f"{len(found.unreadable):,}",
        "seen in training": f"{found.seen_in_training:,}",
        **({"shown before": pluralised(len(found.shots), "normal image")} if found.shots else {}),
        "time": f"{found.seconds:.1f} s",
        "peak memory": f"{found.peak_memory_mb:,.0f} MB",
    }
    terms = "".join(f"<div><dt>{name}</dt><dd>{escape(value)}</dd></div>" for name, value in facts.items())
    unread = "".join(f"<li><bdi>{escape(source)}</bdi>: {escape(why)}</li>" for source, why in found.unreadable.items())
    listed = f'<h4>Could not be read</h4><ul class="sources">{unread}</ul>' if unread else ""
    return f'<dl class="facts">{terms}</dl>{_shots(found)}{listed}'


def _shots(found: ClassResult) -> str:
    """Which images the detector was shown."""
    if not found.shots:
        return ""
    names = "".join(f"<li><bdi>{escape(source)}</bdi></li>" for source in found.shots)
    return f'<h4>Normal images that the detector was shown</h4><ul class="sources">{names}</ul>'


def _curves(found: ClassResult, kept: ClassFiles) -> str:
    if kept.curves is None:
        return '<p class="missing">There are no curves: curves.json is missing.</p>'
    drawn = []
    prevalence = found.anomalous / max(1, found.normal + found.anomalous)
    chances = {"image_roc": (0, 1), "pixel_roc": (0, 1), "image_pr": (prevalence, prevalence)}
    for name, (title, axes, right) in CURVES.items():
        if name in kept.curves:
            points = kept.curves[name]
            drawing = curve(f"Curve: {title}", points.x, points.y, axes, right, chances.get(name))
            drawn.append(
                f"<figure>{drawing}<figcaption>{title}<small>{_beside(found, name)}</small></figcaption></figure>"
            )
    if not drawn:
        return '<p class="missing">There are no curves: the images of this class define none.</p>'
    return f'<h4>Curves</h4><div class="curves">{"".join(drawn)}</div>'


def _beside(found: ClassResult, name: str) -> str:
    """The metrics that are read off a curve."""
    metrics = {
        "image_roc": ("image_auroc",),
        "image_pr": ("image_ap", "image_f1_max"),
        "pixel_roc": ("pixel_auroc",),
        "pixel_pr": ("pixel_ap", "pixel_f1_max"),
        "pixel_pro": ("pixel_pro",),
    }[name]
    defined = [(key, found.metrics[key]) for key in METRICS if key in metrics and key in found.metrics]
    return "; ".join(
        f"{TITLES[key]} {percent(metric.value)}" + (f" ({interval(metric)})" if interval(metric) else "")
        for key, metric in defined
        if metric.value is not None
    )


def _scores(kept: ClassFiles) -> str:
    if kept.images is None:
        return '<p class="missing">There is no histogram of scores: images.csv is missing.</p>'
    if not kept.images:
        return '<p class="missing">There is no histogram of scores: no image was scored.</p>'
    normal, anomalous = ([one.score for one in kept.images if one.label == label] for label in (0, 1))
    threshold = best_threshold(kept.images)
    return (
        '<h4>Scores of the images</h4><p class="key"><span class="anomalous">anomalous, above the line</span> '
        f'<span class="normal">normal, below it</span></p>{histogram(normal, anomalous, threshold)}'
        f"{_at(threshold, normal, anomalous)}"
    )


def _at(threshold: float | None, normal: Sequence[float], anomalous: Sequence[float]) -> str:
    """What the threshold of F1-max means in images."""
    if threshold is None:
        return '<p class="sub">F1-max has no threshold: a state has no image.</p>'
    found = sum(score >= threshold for score in anomalous)
    wrong = sum(score >= threshold for score in normal)
    return (
        f'<p class="sub">From a score of {threshold:.4f}, {found:,} of {pluralised(len(anomalous), "anomalous image")} '
        f"and {wrong:,} of {pluralised(len(normal), 'normal image')} are called anomalous. This threshold is chosen "
        "with the truth at hand; one that is fixed beforehand does no better.</p>"
    )


def _misses(kept: ClassFiles, most: int) -> str:
    if kept.misses is None:
        return '<p class="missing">There are no images of misses: worst/worst.json is missing.</p>'
    if not kept.misses:
        return '<p class="missing">There are no images of misses: none was kept.</p>'
    shown = _mixed(kept.misses)[:most]
    more = f" {len(shown)} of {len(kept.misses)} that were kept are shown." if len(shown) < len(kept.misses) else ""
    return (
        '<h4>Worst misses</h4><p class="sub">Image, truth, and heat map on the fixed scale from 0 to 1. '
        "Missed are anomalous images of low score, false alarms normal ones of high score; misplaced are maps that "
        f"are high elsewhere than the defect.{more} {LEGEND}</p>"
        f'<div class="misses">{"".join(_miss(one, kept.worst) for one in shown)}</div>'
    )


def _mixed(misses: Sequence[WorstImage]) -> list[WorstImage]:
    """Of each kind the worst, then of each kind the second, and so on."""
    kinds = [[one for one in misses if one.why == why] for why in dict.fromkeys(one.why for one in misses)]
    return [kind[rank] for rank in range(max(map(len, kinds))) for kind in kinds if rank < len(kind)]


def _miss(miss: WorstImage, folder: Path) -> str:
    overlap = "" if miss.pixel_auroc is None else f", pixel AUROC {percent(miss.pixel_auroc)}"
    files = {"image": miss.image, "mask": miss.mask, "heat map": miss.overlay}
    shown = "".join(
        _shown(folder / Path(name).name if name else None, what, miss.source) for what, name in files.items()
    )
    return (
        f'<figure class="miss"><div class="three">{shown}</div>'
        f'<figcaption><span class="badge bad">{escape(miss.why)}</span> '
        f"<span>score <b>{miss.score:.3f}</b>{overlap}</span> "
        f'<bdi class="source">{escape(miss.source)}</bdi></figcaption></figure>'
    )


def _shown(path: Path | None, what: str, source: str) -> str:
    if path is None or not path.is_file():
        return f'<span class="absent">no {what}</span>'
    said = escape(f"{what} of {source}")
    return f'<img src="{thumbnail(path)}" alt="{said}" width="{SIDE}" height="{SIDE}" loading="lazy" decoding="async">'


def read_kept(folder: Path | None) -> ClassFiles:
    """What lies in the folder of a class.

    Raises:
        InputError, ConfigError: a file is there and cannot be read.
    """
    if folder is None:
        return ClassFiles()
    return ClassFiles(
        images=store.read_images(folder) if (folder / store.IMAGES).is_file() else None,
        curves=store.read_curves(folder) if (folder / store.CURVES).is_file() else None,
        misses=store.read_misses(folder) if (folder / store.WORST / store.MISSES).is_file() else None,
        worst=folder / store.WORST,
    )

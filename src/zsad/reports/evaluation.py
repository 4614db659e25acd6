"""The page of an evaluation, for a person who must decide whether to believe a number.

It is one file without network, and can be read without scripts: these only sort and filter. What casts doubt on the
numbers comes before them.
"""

from html import escape
from pathlib import Path

from zsad.errors import InputError
from zsad.files import write_atomically
from zsad.memory_bank import summary
from zsad.reports import pages
from zsad.reports._evaluation_class import fold_out, read_kept
from zsad.reports._evaluation_table import of_classes, overview
from zsad.reports.render import ANCHORS
from zsad.results import store
from zsad.results.schema import DataSetResult, DetectorInfo, Evaluation, Protocol
from zsad.wording import pluralised

MISSES = 300
"""Misses shown on a page; with three thumbnails each they stay below 18 MB."""

MOST, LEAST = 9, 3
"""Misses shown of a class: at most, and however many classes there are."""


def write(evaluation: Evaluation, folder: Path) -> None:
    """Write report.html from an evaluation and what it left of its classes in the folder.

    Raises:
        InputError: a file of a class cannot be read, or the page cannot be written.
        ConfigError: a file of a class has unknown, missing or wrong entries.
    """
    content = page(evaluation, store.class_folders(folder)).encode("utf-8", "backslashreplace")
    try:
        write_atomically(folder / store.PAGE, content)
    except OSError as error:
        raise InputError("the output folder must be writable", error, "choose another --out") from error


def page(evaluation: Evaluation, folders: dict[tuple[str, str], Path]) -> str:
    """The page as HTML.

    Args:
        evaluation: what it shows.
        folders: where more about a class lies, by the names of its data set and its own; what is missing is said.
    """
    subject, data_sets = evaluation.subject, evaluation.data_sets
    classes = sum(len(one.classes) for one in data_sets)
    most = min(MOST, max(LEAST, MISSES // max(1, classes)))
    places = [f"set-{number}" for number in range(1, len(data_sets) + 1)]
    parts = {
        "SCALE": ", ".join(f"rgb{colour}" for colour in ANCHORS),
        "TITLE": escape(subject.name),
        "WHAT": escape(_what(evaluation)),
        "WARNINGS": _warnings(evaluation),
        "RAN": _ran(evaluation),
        "PROTOCOL": "".join(f"<li>{escape(sentence)}</li>" for sentence in in_words(evaluation.protocol)),
        "OVERVIEW": f"<h2>Means</h2>{overview(data_sets, places)}" if len(data_sets) > 1 else "",
        "SETS": "".join(_data_set(*pair, folders, most) for pair in zip(data_sets, places, strict=True)),
        "FOOT": escape(f"zsad {evaluation.version} · {evaluation.created} · {evaluation.command}"),
    }
    return pages.filled("evaluation.html", parts)


def in_words(protocol: Protocol) -> list[str]:
    """A protocol in sentences for people."""
    images = f"Images are those of the split “{protocol.split}”"
    if protocol.max_images is not None:
        images += f", of each class and state {protocol.max_images} at most"
    size = "Maps and masks are compared at each image's own size."
    if protocol.resolution is not None:
        side = protocol.resolution
        size = f"Maps and masks are compared at {side} × {side} px, whatever size an image or the detector has."
    shots = []
    if protocol.shots:
        shots = [
            f"Few-shot: before each class the detector was shown {pluralised(protocol.shots, 'normal image')} of the "
            f"train split of that class, drawn with seed {protocol.shots_seed}, and none of any other class."
        ]
    intervals = "There are no intervals."
    if protocol.resamples:
        intervals = (
            f"Small numbers below a metric are its {100 * protocol.confidence:g} % bootstrap interval, over "
            f"{protocol.resamples:,} resamples of the images: how far the number may be off for want of images. "
            "PRO-200 has none."
        )
    return [
        f"{images}.",
        *shots,
        size,
        intervals,
        "Means count each class alike, however many images it has; one that does not define a metric is left out.",
        "F1-max is taken at the threshold that is best for the very images it is measured on, so it flatters.",
        "PRO is exact: the mean share of a defect that is found, up to a false positive rate of 0.3.",
        "PRO-200 is PRO as most published code takes it, at 200 thresholds: compare this one with tables in papers.",
        "Results of different protocols are not comparable.",
    ]


def _what(evaluation: Evaluation) -> str:
    subject, names = evaluation.subject, ", ".join(one.name for one in evaluation.data_sets)
    shown = f" ({evaluation.protocol.shown})" if evaluation.protocol.shots else ""
    return f"{subject.method}{shown} on {subject.backbone} at {subject.image_size} px, held against {names}"


def _warnings(evaluation: Evaluation) -> str:
    caveat = pages.caveat(evaluation.subject.backbone, evaluation.subject.weights)
    found = [f"<li>{escape(caveat)}</li>"] if caveat else []
    for warning in dict.fromkeys(warning for one in evaluation.data_sets for warning in one.warnings):
        names = ", ".join(one.name for one in evaluation.data_sets if warning in one.warnings)
        found.append(f"<li><b>{escape(names)}</b>: {escape(warning)}</li>")
    if not found:
        return ""
    return (
        '<section class="warnings" aria-labelledby="warnings"><h2 id="warnings">Before you believe these numbers</h2>'
        f"<ul>{''.join(found)}</ul></section>"
    )


def _ran(evaluation: Evaluation) -> str:
    subject = evaluation.subject
    options = ", ".join(f"{name} {value}" for name, value in subject.options.items())
    facts = {
        "detector": f"{subject.name} ({subject.method})",
        "options": options or "as published",
        "backbone": subject.backbone,
        "weights": subject.weights,
        "image size": f"{subject.image_size} px",
        "precision": f"{subject.precision} on {subject.device}",
        "trained on": _training(subject),
        "remembers": _memory(evaluation),
        "fingerprint": subject.fingerprint,
        "data sets": "; ".join(_size(one) for one in evaluation.data_sets),
        "date": evaluation.created,
        "version": f"zsad {evaluation.version}",
        "machine": evaluation.machine,
    }
    # A command wraps between its words only: a hyphen at the end of a line would be read as part of it, or not.
    command = " ".join(f"<span>{escape(word)}</span>" for word in evaluation.command.split())
    terms = [(name, escape(value)) for name, value in facts.items()] + [("command", command)]
    return "".join(f"<div><dt>{name}</dt><dd>{words}</dd></div>" for name, words in terms)


def _training(subject: DetectorInfo) -> str:
    if not subject.trained_on:
        return "nothing that is on record"
    classes = ", ".join(f"{name} ({number:,})" for name, number in subject.trained_on.items())
    epochs = [] if subject.epochs is None else [pluralised(subject.epochs, "epoch")]
    seed = [] if subject.seed is None else [f"seed {subject.seed}"]
    return "; ".join([f"{pluralised(sum(subject.trained_on.values()), 'image')}: {classes}", *epochs, *seed])


def _memory(evaluation: Evaluation) -> str:
    """What the detector remembered while it judged."""
    subject, protocol = evaluation.subject, evaluation.protocol
    if protocol.shots:
        images = pluralised(protocol.shots, "normal image")
        return f"{images} of the class that it judges, drawn with seed {protocol.shots_seed}"
    return summary(subject.remembers, subject.memory) or "nothing"


def _size(found: DataSetResult) -> str:
    images = sum(one.normal + one.anomalous for one in found.classes)
    size = f"{pluralised(len(found.classes), 'class', 'classes')}, {pluralised(images, 'image')}"
    layout = "" if found.layout == found.name else f", laid out as {found.layout}"
    return f"{found.name}: {size}{layout}"


def _data_set(found: DataSetResult, place: str, folders: dict[tuple[str, str], Path], most: int) -> str:
    links = [f"{place}-class-{number}" for number in range(1, len(found.classes) + 1)]
    folds = (
        fold_out(one, read_kept(folders.get((found.name, one.class_name))), link, most)
        for one, link in zip(found.classes, links, strict=True)
    )
    return (
        f'<section class="set" id="{place}"><h2>{escape(found.name)}</h2>'
        f'<p class="sub">{escape(_size(found))}</p>{of_classes(found, links, place)}'
        f'<div class="folds">{"".join(folds)}</div></section>'
    )

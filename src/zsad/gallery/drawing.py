"""``gallery``: from detectors and data to a figure in a file."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from zsad.data.specification import in_words
from zsad.errors import ConfigError, InputError
from zsad.files import content_hash, replacing
from zsad.gallery.choice import GalleryCandidate, by_class
from zsad.gallery.figure import pages
from zsad.gallery.panels import Panel, Style, panels
from zsad.locks import alone_with
from zsad.methods import TransductiveMethod
from zsad.predictor import Detector
from zsad.types import DecodedImage, Failure, Prediction

SCALES = {".png": 2.0, ".pdf": 2.5}
"""Pixels a unit, of which an inch has 120: 240 and 300 pixels an inch."""
UNITS = 120
PAGE = 11.0
"""Inches that a page of a PDF is high at most."""
TALLEST = 30_000
"""Pixels of a PNG, above which many programs refuse it."""


@dataclass(frozen=True)
class GalleryFigure:
    """What a figure shows.

    Attributes:
        images: how many.
        pages: of the file.
        warnings: what must be said beside it, in full sentences.
    """

    images: int
    pages: int
    warnings: tuple[str, ...]


def gallery(
    detectors: Sequence[Detector],
    chosen: Sequence[GalleryCandidate],
    out: str | os.PathLike[str],
    *,
    labels: Sequence[str] | None = None,
    columns: int | None = None,
    map_only: bool = False,
    transposed: bool = False,
    among: Sequence[GalleryCandidate] = (),
) -> GalleryFigure:
    """Draw images, truth and the maps of detectors side by side, all maps on the scale from 0 to 1.

    Args:
        detectors: a column each, or a line.
        chosen: the images; see :mod:`zsad.gallery.choice`.
        out: file that ends in .png (240 pixels an inch) or .pdf (300, in pages of at most 11 inches).
        labels: what the detectors are called; by default their own names.
        columns: images beside each other; by default 1, transposed 6.
        map_only: maps alone, not laid over their images.
        transposed: images beside each other and detectors below each other.
        among: all images of their classes, by which transductive detectors judge those that are shown; without them
            these judge one another.

    Raises:
        ConfigError: the ending is another, labels and detectors do not pair, or the figure is too high for a PNG.
        InputError: an image or a mask cannot be read, or there is none.
    """
    path, names = Path(out), [detector.name for detector in detectors] if labels is None else list(labels)
    check_file(path)
    if len(names) != len(detectors) or not detectors:
        raise ConfigError("each detector has a label", f"{len(names)} for {len(detectors)}", "give as many, or none")
    if not chosen:
        raise InputError("a figure shows at least one image", "none", "choose others")
    style = Style(SCALES[path.suffix.lower()], map_only, transposed)
    shown = _shown(detectors, chosen, [*among, *chosen], style)
    limit = round(PAGE * UNITS * style.scale) if path.suffix.lower() == ".pdf" else None
    columns = (6 if transposed else 1) if columns is None else columns
    sheets = pages(["Image", "Ground truth", *names], shown, columns, style, limit)
    with alone_with(path):
        _save(sheets, path, style)
    return GalleryFigure(len(chosen), len(sheets), tuple(_seen(detectors, names, chosen)))


def check_file(path: Path) -> None:
    """Make sure, before any work is done, that a figure can be written there; its folder is made.

    Raises:
        ConfigError: the ending is no figure's.
        InputError: the place cannot be written.
    """
    if path.suffix.lower() not in SCALES:
        raise ConfigError("a figure is a file that ends in .png or .pdf", path.name, "for instance figure.pdf")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError("the folder of a figure must be writable", error, "choose another --out") from error
    if path.is_dir():
        raise InputError("a figure is a file", f"{path}, a folder", "choose another --out")


def _shown(
    detectors: Sequence[Detector], chosen: Sequence[GalleryCandidate], among: Sequence[GalleryCandidate], style: Style
) -> list[list[Panel]]:
    """The panels of each image. Detectors go through a class at a time, to encode its name once."""
    panels_of: dict[int, list[Panel]] = {}
    all_of_class = by_class(among)
    for key, members in by_class(chosen).items():
        folder = [candidate.sample.image for candidate in all_of_class[key]]
        streams = [_answers(detector, members, list(dict.fromkeys(folder))) for detector in detectors]
        for candidate, *answers in zip(members, *streams, strict=True):
            seen = [_answer(answer) for answer in answers]
            panels_of[id(candidate)] = panels(candidate, seen[0][0], [prediction for _, prediction in seen], style)
    return [panels_of[id(candidate)] for candidate in chosen]


def _answers(
    detector: Detector, members: Sequence[GalleryCandidate], folder: Sequence[Path]
) -> Iterator[tuple[DecodedImage, Prediction] | Failure]:
    """Of images of one class, in their order; a transductive method is given all of the folder."""
    images, prompt = [candidate.sample.image for candidate in members], in_words(members[0].sample.class_name)
    if not isinstance(detector.method, TransductiveMethod):
        return detector.stream(images, prompt)
    answers = zip(folder, detector.stream(folder, prompt), strict=True)
    of_image = {image: answer for image, answer in answers if image in images}
    return iter([of_image[image] for image in images])


def _answer(answer: tuple[DecodedImage, Prediction] | Failure) -> tuple[DecodedImage, Prediction]:
    if isinstance(answer, Failure):
        raise InputError("the images of a figure can be read", answer.message, "choose others, or repair it")
    return answer


def _save(sheets: Sequence[Image.Image], path: Path, style: Style) -> None:
    first, *rest = sheets
    density = style.scale * UNITS
    if path.suffix.lower() == ".png" and first.height > TALLEST:
        remedy = "say --columns, choose fewer, or write a PDF, which has pages"
        raise ConfigError(f"a PNG is at most {TALLEST} pixels high", first.height, remedy)
    with replacing(path) as temporary:
        if path.suffix.lower() == ".png":
            first.save(temporary, "PNG", dpi=(density, density))
        else:
            # Without loss of colour resolution: letters stay crisp.
            options = {"quality": 95, "subsampling": 0, "title": path.stem}
            first.save(temporary, "PDF", save_all=True, append_images=rest, resolution=density, **options)


def _seen(detectors: Sequence[Detector], names: Sequence[str], chosen: Sequence[GalleryCandidate]) -> list[str]:
    """A figure of what a detector was trained on shows nothing of what it can do."""
    contents = [content_hash(candidate.sample.image) for candidate in chosen]
    warnings = []
    for detector, name in zip(detectors, names, strict=True):
        if count := len(set(contents) & set(detector.training_record.seen)):
            warnings.append(f"{name} was trained or calibrated on {count} of these images, or remembers them.")
    return warnings

"""What every data set layout promises."""

from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory

from zsad.data.layouts import Layout, Sample, name_of
from zsad.errors import InputError


def check_layout(layout: type[Layout], folder: Path | str) -> None:
    """Hold a layout to what is promised of all of them.

    Args:
        layout: the class.
        folder: a data set in this layout, with at least one image; drawn or cut down will do.

    Raises:
        AssertionError: a promise is not kept; it says which, and what was found.
    """
    root = Path(folder)
    check_without_data(layout)
    samples = _read(layout, root)
    _require(bool(samples), "the folder has samples", f"none in {root}")
    _require(_read(layout, root) == samples, "reading twice gives the same samples in the same order", "others")
    for sample in samples:
        _check_sample(sample)
    counts = Counter((sample.image, sample.class_name) for sample in samples)
    twice = [str(image) for (image, _), count in counts.items() if count > 1]
    _require(not twice, "each image stands once in its class", f"{twice[:1]} several times")


def check_without_data(layout: type[Layout]) -> None:
    """The promises that need no data set."""
    _check_words(layout)
    _check_counts(layout)
    _check_missing(layout)


def _check_words(layout: type[Layout]) -> None:
    name_of(layout)  # what can be registered has a title, a description and no abstract method
    _require(bool(layout.title.strip()), "a layout has a title", "an empty one")
    _require(bool(layout.about.strip()) and "\n" not in layout.about, "`about` is one line", repr(layout.about))
    _require(bool(layout.__doc__), "the docstring of a layout says how files lie", "no docstring")


def _read(layout: type[Layout], root: Path) -> list[Sample]:
    samples = layout.samples(root)
    _require(isinstance(samples, list), "samples() returns a list", type(samples).__name__)
    odd = [item for item in samples if not isinstance(item, Sample)]
    _require(not odd, "samples() returns objects of zsad.data.Sample", f"{odd[:1]}")
    return samples


def _check_sample(sample: Sample) -> None:
    _require(sample.image.is_file(), "the image of a sample is a file", str(sample.image))
    _require(sample.label in (0, 1, None), "a label is 0 (normal), 1 (anomalous) or None", repr(sample.label))
    _require(sample.split in ("train", "test"), 'a split is "train" or "test"', repr(sample.split))
    _require(bool(sample.class_name.strip()), "a sample names its class", f"none for {sample.image}")
    _require(bool(sample.kind), "a sample names its kind of defect", f"none for {sample.image}")
    for mask in sample.masks:
        _require(mask.is_file(), "the mask of a sample is a file", f"{mask} of {sample.image}")
    _require(
        sample.label != 0 or sample.kind == "good",
        'the kind of a normal image is "good"',
        f"{sample.kind!r} of {sample.image}",
    )


def _check_counts(layout: type[Layout]) -> None:
    odd = [name for name, count in layout.counts.items() if min(count.normal, count.anomalous, count.train) < 0]
    _require(not odd, "published counts are at least 0", ", ".join(odd))
    unknown = sorted({*layout.counts} - {*layout.classes}) if layout.classes else []
    _require(not unknown, "published counts are of the classes of the layout", ", ".join(unknown))


def _check_missing(layout: type[Layout]) -> None:
    with TemporaryDirectory() as empty:
        for root in (Path(empty), Path(empty, "missing")):
            rule = "a folder that is missing or without images is an InputError that names it"
            try:
                samples = layout.samples(root)
            except InputError as error:
                _require(root.name in str(error), rule, str(error))
            except Exception as error:
                raise AssertionError(f"{layout.__name__}: {rule}; got {type(error).__name__}: {error}") from error
            else:
                _require(False, rule, f"{len(samples)} samples")


def _require(kept: bool, rule: str, found: str) -> None:
    if not kept:
        raise AssertionError(f"{rule}; got {found}")

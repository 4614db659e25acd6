"""The images that a detector is calibrated on: which count, which are left out of the memory bank, and their scores."""

import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace

from zsad.calibration import Calibration, Criterion, ImageScores, choose_thresholds, upper_anomaly
from zsad.calibration.calibration import FALSE_POSITIVE_RATE, check_images
from zsad.checkpoint import TrainingRecord
from zsad.data.decode import Source
from zsad.errors import ConfigError, InputError, ZsadWarning
from zsad.folder_pass import Progress, chunks
from zsad.methods import FewShot, Method
from zsad.methods._transductive import TransductiveMethod
from zsad.types import Prediction
from zsad.wording import pluralised

Predict = Callable[[list[Source]], list[Prediction]]


@dataclass(frozen=True)
class CalibrationImage:
    """An image with its state.

    Attributes:
        source: as :meth:`zsad.Detector.predict` takes it.
        name: for messages.
        content: SHA-256 of the file; empty for pixels in memory.
        is_anomalous: its state.
        in_bank: numbers of this image in the memory bank; mostly none.
    """

    source: Source
    name: str
    content: str
    is_anomalous: bool
    in_bank: tuple[int, ...] = ()


@dataclass(frozen=True)
class Request:
    """What is wanted of a calibration.

    Attributes:
        criterion, target: as :class:`zsad.calibration.Calibration` has them; a false-positive rate that is not given
            is 0.05.
        class_name: what the images show.
        batch_size: images that are scored together.
        progress: called with the number of images that are done.
    """

    criterion: Criterion
    target: float | None
    class_name: str
    batch_size: int = 1
    progress: Progress | None = None

    @property
    def rate(self) -> float | None:
        """The target, also where none is given."""
        return FALSE_POSITIVE_RATE if self.criterion == "fpr" and self.target is None else self.target


def calibrate(
    images: Sequence[CalibrationImage], predict: Predict, method: Method, record: TrainingRecord, request: Request
) -> Calibration:
    """The calibration of a detector, without the fingerprint of its state.

    Args:
        images: normal and anomalous ones.
        predict: gives the predictions of some, in their order.
        method, record: of the detector.
        request: what is wanted.

    Raises:
        ConfigError, InputError: as :meth:`zsad.Detector.calibrate` does.
    """
    images = in_bank(distinct(images), method, record)
    count = sum(not image.is_anomalous for image in images)
    check_images(request.criterion, request.rate, count, len(images) - count)
    _check_inductive(method, len(images))
    scores = score(images, predict, method, request.batch_size, request.progress)
    thresholds = choose_thresholds(scores, request.criterion, request.rate)
    return Calibration(
        criterion=request.criterion,
        target=request.rate,
        threshold=thresholds.score,
        pixel_threshold=thresholds.pixel,
        normal_scores=tuple(sorted(scores.normal)),
        anomalous_scores=tuple(sorted(scores.anomalous)),
        class_name=request.class_name,
        images=tuple(sorted({image.content for image in images} - {""})),
        left_out=sum(bool(image.in_bank) for image in images),
        detector="",
    )


def of_this_state(record: TrainingRecord, fingerprint: str, name: str) -> TrainingRecord:
    """The record without the calibration of another state of the detector; a warning says so.

    Args:
        record: of the detector.
        fingerprint: of its state.
        name: of the detector.
    """
    if record.calibration is None or record.calibration.detector == fingerprint:
        return record
    text = (
        f"{name} was calibrated with other options, or another size, precision or memory bank: its calibration is left "
        f"out. Load it as it was saved, or calibrate it again."
    )
    warnings.warn(text, ZsadWarning, stacklevel=3)
    return replace(record, calibration=None)


def without_calibration(record: TrainingRecord) -> TrainingRecord:
    """The record of a detector that has just been fitted; a warning says that it has to be calibrated again."""
    if record.calibration:
        text = "The detector was calibrated before it remembered these images: calibrate it again."
        warnings.warn(text, ZsadWarning, stacklevel=3)
    return replace(record, calibration=None)


def _check_inductive(method: Method, count: int) -> None:
    """Refuses a method that would score images by one another: their scores say nothing of another folder's.

    Raises:
        ConfigError: it does.
    """
    if isinstance(method, TransductiveMethod) and method.scores_folder(max(2, count)):
        raise ConfigError(
            "a detector is calibrated if the score of an image does not depend on the other images of its folder",
            f"{type(method).__name__}, which scores images by one another",
            "fit it to normal images first, which it then compares all images with: zsad fit",
        )


def distinct(images: Sequence[CalibrationImage]) -> list[CalibrationImage]:
    """The images, of copies the first; a warning says how many there were.

    Raises:
        InputError: an image is there as normal and as anomalous.
    """
    states: dict[str, set[bool]] = {}
    for image in images:
        states.setdefault(image.content, set()).add(image.is_anomalous)
    both = [image.name for image in images if image.content and len(states[image.content]) > 1]
    if both:
        value = f"{len(both) // 2 or 1} of both states, such as {both[0]}"
        raise InputError("an image is normal or anomalous", value, "move it out of one of the folders")
    counts = Counter(image.content for image in images if image.content)
    if copies := sum(count - 1 for count in counts.values()):
        text = f"{pluralised(copies, 'image is a copy', 'images are copies')} of another: each content counts once."
        warnings.warn(text, ZsadWarning, stacklevel=3)
    first = {image.content: image for image in reversed(images) if image.content}
    return [image for image in images if not image.content or first[image.content] is image]


def in_bank(images: Sequence[CalibrationImage], method: Method, record: TrainingRecord) -> list[CalibrationImage]:
    """The images with their numbers in the memory bank of the method.

    Raises:
        InputError: the detector was trained on one, remembers an anomalous one, or remembers one but not which entries
            of the bank are from it.
    """
    remembered = {one.content for one in record.memory} - {""}
    trained_on = [image for image in images if image.content in set(record.images) - remembered]
    if trained_on:
        value = f"{len(trained_on)} that it was trained on, such as {trained_on[0].name}"
        raise InputError("a detector is calibrated on images that it was not trained on", value, "use others")
    if not isinstance(method, FewShot) or not method.is_few_shot:
        return list(images)
    if not record.memory or "" in {one.content for one in record.memory}:
        text = (
            "Some images of the memory bank are not on record: if one of them is calibrated on, the threshold is off."
        )
        warnings.warn(text, ZsadWarning, stacklevel=3)
    unlabelled = {one.content for one in record.memory if not one.is_normal} - {""}
    if odd := [image for image in images if image.content in unlabelled]:
        rule = "a detector is calibrated on images that it does not remember as unlabelled"
        raise InputError(rule, odd[0].name, "use others, or fit it to this image as a normal one")
    return [_numbered(image, method, record) for image in images]


def _numbered(image: CalibrationImage, method: FewShot, record: TrainingRecord) -> CalibrationImage:
    remembered = [one.content for one in record.memory if one.is_normal]
    # What version 0.1.0 saved comes first, and has no numbers in the bank.
    unnumbered = len(remembered) - method.bank.images
    places = [place for place, content in enumerate(remembered) if content and content == image.content]
    if places and image.is_anomalous:
        raise InputError("an anomalous image is not in the memory bank of normal ones", image.name, "fit without it")
    if places and not 0 <= unnumbered <= places[0]:
        value = f"{image.name}, of which they were not saved"
        raise InputError("the entries of an image of the memory bank are known", value, "fit the detector again")
    return replace(image, in_bank=tuple(place - unnumbered for place in places))


def score(
    images: Sequence[CalibrationImage], predict: Predict, method: Method, batch_size: int, progress: Progress | None
) -> ImageScores:
    """Score the images; one of the memory bank is compared with the other images in it.

    Args:
        images: normal and anomalous ones.
        predict: gives the predictions of some, in their order.
        method: of the detector.
        batch_size: images that are scored together.
        progress: called with the number of images that are done.

    Raises:
        InputError: an image cannot be read, or nothing is left of the bank without it.
    """
    normal: list[float] = []
    anomalous: list[float] = []
    upper: list[float] = []
    done = 0
    for batch in _batches(images, batch_size):
        with _left_out(batch[0], method):
            predictions = predict([image.source for image in batch])
        for image, prediction in zip(batch, predictions, strict=True):
            (anomalous if image.is_anomalous else normal).append(prediction.score)
            if not image.is_anomalous:
                upper.append(upper_anomaly(prediction.anomaly_map))
        done += len(batch)
        if progress:
            progress(done)
    return ImageScores(normal, upper, anomalous)


def _batches(images: Sequence[CalibrationImage], size: int) -> Iterator[list[CalibrationImage]]:
    """Images of the bank one by one, the others together."""
    yield from ([image] for image in images if image.in_bank)
    yield from chunks((image for image in images if not image.in_bank), size)


def _left_out(image: CalibrationImage, method: Method) -> AbstractContextManager[None]:
    if not image.in_bank or not isinstance(method, FewShot):
        return nullcontext()
    return method.leaving_out(image.in_bank)

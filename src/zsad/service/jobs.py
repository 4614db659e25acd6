"""Requests on their way through the service: what of them waits, and what they are answered."""

import logging
import math
import time
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from dataclasses import dataclass, field
from threading import Lock

from zsad.data.decode import decode
from zsad.data.decoding.guard import at_most, unreadable
from zsad.errors import DependencyError, InputError, ZsadError
from zsad.results.schema import Setting
from zsad.service.answers import Answer, answer, reduced_size
from zsad.service.asked import Asked
from zsad.service.forms import Upload
from zsad.service.refusal import TOO_LARGE, Refusal, described
from zsad.types import DecodedImage, Failure, Prediction

MAPS_OF_A_REQUEST = 4
"""Pixels of all maps of a request, over those that one image may have; bounds memory."""


@dataclass(frozen=True)
class RefusedImage(Failure):
    """An upload that cannot be read, with the error as it was raised."""

    error: ZsadError


def read_upload(upload: Upload, max_pixels: int) -> DecodedImage | Failure:
    """The image that was uploaded, or why there is none."""
    try:
        with at_most(max_pixels):
            return decode(upload.content, upload.name)
    except (InputError, DependencyError) as error:
        return RefusedImage(upload.name, str(error), error)
    except Exception as error:  # of a decoding library, that no file has raised before
        logging.getLogger(__name__).exception("an upload that cannot be read")
        refused = unreadable(upload.name, type(error).__name__)
        return RefusedImage(upload.name, str(refused), refused)


@dataclass(eq=False)
class Job:
    """A request for predictions, until it is answered.

    Attributes:
        asked: by the client.
        max_pixels: of one image.
        done: its answer; an error that concerns all images.
        setting: whether each image is judged alone, with normal images, or all by one another.
        scored_together: whether the images were scored by one another.
        explanation: what judged the images.
        warnings: about the numbers; None until its first image is taken.
    """

    asked: Asked
    max_pixels: int
    done: "Future[Answer]" = field(default_factory=Future)
    setting: Setting = "zero-shot"
    scored_together: bool = False
    explanation: str = ""
    warnings: list[str] | None = None
    born: float = field(default_factory=time.monotonic)

    def __post_init__(self) -> None:
        count = len(self.asked.images)
        self._answers: list[Answer | None] = [None] * count
        self._failures: dict[int, Answer] = {}
        self._missing, self._pixels, self._lock = count, 0, Lock()

    @property
    def is_over(self) -> bool:
        """Whether nobody waits for it any more."""
        return self.done.done()

    def read(self, index: int) -> DecodedImage | Failure:
        """The image with that number."""
        return read_upload(self.asked.images[index], self.max_pixels)

    def predicted(self, index: int, image: DecodedImage, prediction: Prediction) -> None:
        """Take the prediction for an image; called in a thread that may take its time."""
        try:
            self._check_maps(image)
            self._take(index, {"index": index, **answer(image, prediction, self.asked.output)}, None)
        except Exception as error:
            self.fail(error)

    def failed(self, index: int, failure: Failure) -> None:
        """Take that an image has no score."""
        name = self.asked.images[index].name
        if isinstance(failure, RefusedImage):
            reason = described(failure.error)
        else:
            reason = {"rule": "an image has a finite score", "value": failure.message[:400], "remedy": "use another"}
        self._take(index, None, {"index": index, "source": name, **reason})

    def fail(self, error: BaseException) -> None:
        """Answer the whole request with an error."""
        with suppress(InvalidStateError):  # nobody waits any more
            self.done.set_exception(error)

    def release(self) -> None:
        """Let go of what was uploaded: errors keep a job until the next collection of garbage, which may be far."""
        for uploads in (self.asked.images, self.asked.normal):
            uploads[:] = [Upload(upload.name, b"") for upload in uploads]

    def _check_maps(self, image: DecodedImage) -> None:
        output = self.asked.output
        if output.maps == "none":
            return
        most = MAPS_OF_A_REQUEST * self.max_pixels
        with self._lock:
            self._pixels += math.prod(reduced_size(image.size, output.map_side))
            total = self._pixels
        if total > most:
            rule = f"the maps of a request have at most {most:,} pixels"
            raise Refusal(TOO_LARGE, rule, f"{total:,} or more", "send fewer images at a time, or a map_side")

    def _take(self, index: int, found: Answer | None, failure: Answer | None) -> None:
        with self._lock:
            self._answers[index] = found
            if failure is not None:
                self._failures[index] = failure
            self._missing -= 1
            if not self._missing:
                with suppress(InvalidStateError):
                    self.done.set_result(self._answer())

    def _answer(self) -> Answer:
        asked = self.asked
        return {
            "detector": asked.detector.name,
            "class_name": asked.class_name,
            "setting": self.setting,
            "explanation": self.explanation,
            "warnings": self.warnings or [],
            "predictions": [found for found in self._answers if found is not None],
            "failures": [self._failures[index] for index in sorted(self._failures)],
        }

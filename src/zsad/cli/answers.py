"""Where the answers of ``zsad predict`` go beside its report: lines of JSON, a count; and what is said meanwhile."""

import json
import sys
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from zsad.wording import printable

if TYPE_CHECKING:
    from zsad.results.schema import Setting
    from zsad.types import DecodedImage, Prediction


@runtime_checkable
class Sink(Protocol):
    """Takes the answers in their order, as :class:`zsad.reports.predictions.ReportWriter` does."""

    def add(self, image: "DecodedImage", prediction: "Prediction") -> None:
        """An image that has a score."""

    def add_failure(self, source: str, message: str) -> None:
        """One that has none, and why."""


class Teller:
    """Prints above a progress bar.

    Args:
        stdout_is_taken: whether standard output is for data alone.
        quiet: whether nothing is printed.
    """

    def __init__(self, stdout_is_taken: bool, quiet: bool) -> None:
        self._stdout_is_taken, self._quiet = stdout_is_taken, quiet

    def __call__(self, text: str, *, stderr: bool = False) -> None:
        """Print lines, with control characters escaped."""
        if not self._quiet:
            write(printable(text, keep="\n"), stderr=stderr or self._stdout_is_taken)


class JsonLines:
    """Prints an object a line: ``Prediction.as_dict`` with ``setting`` and ``notes``, or ``source`` and ``error``.

    Args:
        setting: what judged the images.
        min_area: of the smallest region, in px.
    """

    def __init__(self, setting: "Setting", min_area: int = 1) -> None:
        self._more, self._min_area = {"setting": setting}, min_area

    def add(self, image: "DecodedImage", prediction: "Prediction") -> None:
        """Print the answer."""
        found = prediction.as_dict(min_area=self._min_area)
        write(json.dumps(found | self._more | {"notes": image.notes}))

    def add_failure(self, source: str, message: str) -> None:
        """Print why there is none."""
        write(json.dumps({"source": source, "error": message}))


class Tally:
    """Counts the answers.

    Attributes:
        decisions: whether each scored image is anomalous; None where nothing decides.
        failures: images without a score.
    """

    def __init__(self) -> None:
        self.decisions: list[bool | None] = []
        self.failures = 0

    def add(self, image: "DecodedImage", prediction: "Prediction") -> None:
        """One more."""
        self.decisions.append(prediction.is_anomalous)

    def add_failure(self, source: str, message: str) -> None:
        """One more without a score."""
        self.failures += 1


def write(text: str, *, stderr: bool = False) -> None:
    """Print above a progress bar, and flush."""
    from tqdm import tqdm

    stream = sys.stderr if stderr else sys.stdout
    tqdm.write(text, file=stream)
    stream.flush()

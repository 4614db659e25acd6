"""What is told while a method trains: the interface, lines on a terminal, and scalars for TensorBoard."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from textwrap import wrap
from typing import TYPE_CHECKING

from zsad.errors import DependencyError
from zsad.wording import pluralised

if TYPE_CHECKING:
    from zsad.trainer.loop import TrainingRun


@dataclass(frozen=True)
class Epoch:
    """The result of one epoch.

    Attributes:
        number: from 1.
        of: number of epochs of the run.
        terms: mean of each loss term over the images; their sum is minimised.
        seconds: duration of the epoch.
    """

    number: int
    of: int
    terms: dict[str, float]
    seconds: float

    @property
    def loss(self) -> float:
        """The sum of the terms."""
        return sum(self.terms.values())


class TrainingObserver:
    """Is called as training goes on; subclasses override what they need."""

    def begun(self, run: "TrainingRun") -> None:
        """All is read and checked, and no work done yet."""

    def features(self, done: int, of: int) -> None:
        """The frozen backbone has extracted the features of some of the images."""

    def epoch(self, epoch: Epoch) -> None:
        """An epoch is complete and on disk."""


class ProgressLog(TrainingObserver):
    """Prints after each epoch the loss, the time elapsed and remaining, and the loss terms.

    Args:
        say: takes a line.
    """

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say, self._start = say, time.perf_counter()
        self._durations: list[float] = []

    def begun(self, run: "TrainingRun") -> None:
        """Print what is trained on what."""
        images = run.images
        count = sum(parameter.numel() for parameter in run.method.parameters() if parameter.requires_grad)
        self._say(f"{run.card.method} on {run.card.backbone} at {images.size[0]} px: {count:,} trainable parameters")
        self._say(
            f"{len(images)} images, {pluralised(run.training.epochs, 'epoch')}, batch size {run.training.batch_size}"
        )
        if images.left_out:
            self._say(f"{pluralised(images.left_out, 'image')} left out: anomalous without a mask, or unlabelled")

    def features(self, done: int, of: int) -> None:
        """Print the progress of feature extraction at every tenth of the images."""
        if done == of or done * 10 // of > max(done - 8, 0) * 10 // of:
            self._say(f"extracting features: {done}/{of} images")

    def epoch(self, epoch: Epoch) -> None:
        """Print the result of an epoch."""
        self._durations.append(epoch.seconds)
        left = sum(self._durations) / len(self._durations) * (epoch.of - epoch.number)
        self._say(
            f"epoch {epoch.number}/{epoch.of}  loss {epoch.loss:.4f}  "
            f"{clock(time.perf_counter() - self._start)} elapsed, {clock(left)} left"
        )
        for line in wrap("  ".join(f"{name} {value:.4f}" for name, value in epoch.terms.items()), 76):
            self._say(f"    {line}")


class TensorBoardScalars(TrainingObserver):
    """Writes the loss and its terms for TensorBoard.

    Raises:
        DependencyError: TensorBoard is not installed.
    """

    def __init__(self, folder: Path) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as error:
            raise DependencyError(
                "scalars need TensorBoard", error, "pip install 'zsad[tensorboard]', or leave --tensorboard away"
            ) from error
        self._open = partial(SummaryWriter, str(folder))
        self._writer: SummaryWriter | None = None

    def epoch(self, epoch: Epoch) -> None:
        """Write one point of each curve; the first creates the file."""
        self._writer = self._writer or self._open()
        for name, value in {"loss": epoch.loss, **epoch.terms}.items():
            self._writer.add_scalar(f"train/{name}", value, epoch.number)
        self._writer.flush()


def clock(seconds: float) -> str:
    """Hours, minutes and seconds.

    >>> clock(3723.4)
    '1:02:03'
    >>> clock(59.9)
    '0:59'
    """
    whole = int(seconds)
    hours, minutes = divmod(whole // 60, 60)
    return f"{hours}:{minutes:02}:{whole % 60:02}" if hours else f"{minutes}:{whole % 60:02}"

"""How training tells where it is: lines on a terminal, and scalars for TensorBoard."""

import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from textwrap import wrap

from zsad.errors import DependencyError
from zsad.trainer.loop import Epoch, TrainingRun


class ProgressLog:
    """Says after each epoch the loss, the time that went by and the time that is left, and the terms of the loss.

    Args:
        say: takes a line.
    """

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say, self._began = say, time.perf_counter()
        self._spent: list[float] = []

    def begun(self, run: TrainingRun) -> None:
        """Say what is trained on what."""
        images = run.images
        trained = sum(one.numel() for one in run.method.parameters() if one.requires_grad)
        self._say(f"{run.card.method} on {run.card.backbone} at {images.size[0]} px: {trained:,} parameters")
        self._say(f"{len(images)} images, {run.training.epochs} epochs in batches of {run.training.batch_size}")
        if left := images.left_out:
            self._say(f"{left} image{'s' * (left > 1)} left out: anomalous without a mask, or without a label")

    def observed(self, seen: int, of: int) -> None:
        """Say how many images the frozen tower has seen, at every tenth of them."""
        if seen == of or seen * 10 // of > max(seen - 8, 0) * 10 // of:
            self._say(f"looking at the images once: {seen}/{of}")

    def epoch(self, epoch: Epoch) -> None:
        """Say what an epoch brought."""
        self._spent.append(epoch.seconds)
        left = sum(self._spent) / len(self._spent) * (epoch.of - epoch.number)
        self._say(
            f"epoch {epoch.number}/{epoch.of}  loss {epoch.loss:.4f}  "
            f"{clock(time.perf_counter() - self._began)} gone, {clock(left)} left"
        )
        for line in wrap("  ".join(f"{name} {value:.4f}" for name, value in epoch.terms.items()), 76):
            self._say(f"    {line}")


class TensorBoardScalars:
    """The loss and its terms as TensorBoard reads them.

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
        """Write one point of each curve; the first makes the file."""
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

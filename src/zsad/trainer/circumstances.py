"""The machine's part in a training run."""

from dataclasses import dataclass
from pathlib import Path

from zsad.config import check_within, check_workers
from zsad.runtime import MOST_AT_ONCE, Precision

MOST_GB = 1e6
"""Room of a cache: no disk has a petabyte."""


@dataclass(frozen=True)
class Circumstances:
    """How and where a run is done.

    Attributes:
        device: as PyTorch names it.
        precision: of the forward pass; parameters, losses and steps are always fp32.
        micro_batch: images that go through at once; the gradients of a batch are added up. None is the whole batch.
        workers: threads that read images.
        cache: folder for what frozen towers saw of the images; None observes them in every epoch.
        cache_bytes: most bytes of all that is kept there.
    """

    device: str = "cpu"
    precision: Precision = "fp32"
    micro_batch: int | None = None
    workers: int = 2
    cache: Path | None = None
    cache_bytes: int = 20 << 30

    def __post_init__(self) -> None:
        if self.micro_batch is not None:
            check_within("the number of images that go through at once", self.micro_batch, 1, MOST_AT_ONCE)
        check_workers(self.workers)

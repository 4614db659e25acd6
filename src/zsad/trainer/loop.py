"""The loop: epochs, steps, and a checkpoint after every epoch from which a run goes on to the same bits."""

import json
import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from zsad import checkpoint
from zsad.data.specification import in_words
from zsad.errors import ConfigError, ZsadError
from zsad.files import write_atomically
from zsad.methods._trainable import Reader, Trainable, Training
from zsad.runtime import Precision
from zsad.trainer import state
from zsad.trainer.augment import augment
from zsad.trainer.observations import Observations
from zsad.trainer.pictures import Batch, Pictures
from zsad.types import Evidence, Observation, Target

CARD, PICTURES = "training.json", "pictures.txt"
Describe = Callable[[int], tuple[str, ...]]


@dataclass(frozen=True)
class Circumstances:
    """The machine's part in a run.

    Attributes:
        device: as PyTorch names it.
        precision: of the forward pass; parameters, losses and steps are always fp32.
        micro_batch: images that go through at once; the gradients of a batch are added up. None is the whole batch.
        workers: threads that read pictures.
        cache: folder for what frozen towers saw of the pictures; None observes them in every epoch.
        cache_bytes: most bytes of all that is kept there.
    """

    device: str = "cpu"
    precision: Precision = "fp32"
    micro_batch: int | None = None
    workers: int = 2
    cache: Path | None = None
    cache_bytes: int = 20 << 30

    def __post_init__(self) -> None:
        if self.micro_batch is not None and self.micro_batch < 1:
            raise ConfigError("at least one image goes through at once", self.micro_batch, "say 1 or more")


@dataclass(frozen=True)
class Epoch:
    """What one epoch brought.

    Attributes:
        number: from 1.
        of: how many there will be.
        terms: mean of each term of the loss over the images; their sum is what is minimised.
        seconds: that the epoch took.
    """

    number: int
    of: int
    terms: dict[str, float]
    seconds: float

    @property
    def loss(self) -> float:
        """The sum of the terms."""
        return sum(self.terms.values())


@dataclass
class Run:
    """Trains one method on one set of pictures into one folder.

    Args:
        method: with its initial parameters, on the device.
        card: what the folder says of the detector.
        training: epochs, batch size, rates.
        pictures: at the size of the method.
        seed: of the order, the augmentation and all that is drawn.
        folder: for checkpoints and the detector.
        circumstances: of the machine.
        facts: what else the card of the training says, such as data and versions; part of what a run is known by.
        describe: sentences about a picture, for methods that ask for them.
        hashes: content hash of each picture with its mask, kept so that none of them is ever used as a test.
    """

    method: Trainable
    card: checkpoint.Card
    training: Training
    pictures: Pictures
    seed: int
    folder: Path
    circumstances: Circumstances = field(default_factory=Circumstances)
    facts: dict[str, Any] = field(default_factory=dict)
    describe: Describe | None = None
    hashes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        self._parameters = {name: one for name, one in self.method.named_parameters() if one.requires_grad}
        if not self._parameters:
            raise ConfigError(
                "a method with these options has something to train",
                f"{self.card.method} with {self.card.options}",
                "switch a module on, or use the detector untrained",
            )
        self._optimiser = torch.optim.Adam(
            self._groups(), betas=self.training.betas, weight_decay=self.training.weight_decay
        )
        self._observations: Observations | None = None
        self._history: list[dict[str, float]] = []

    @property
    def known_by(self) -> dict[str, Any]:
        """What determines the result, beside the code and the machine."""
        return json.loads(
            json.dumps(
                {
                    "detector": asdict(self.card),
                    "training": asdict(self.training),
                    "seed": self.seed,
                    "precision": self.circumstances.precision,
                    "micro_batch": self.circumstances.micro_batch,
                    "facts": self.facts,
                }
            )
        )

    def resume(self) -> int:
        """Take up what the folder holds; returns the number of epochs that are done.

        Raises:
            InputError: the folder holds no readable run.
            ConfigError: it holds another run.
        """
        found, ours = state.read(self.folder), self.known_by
        different = [key for key in ours if found.run.get(key) != ours[key]]
        if different:
            raise ConfigError(
                f"a run goes on as it began in {self.folder}",
                f"another {' and '.join(different)}",
                "say what was said at first, or train into another folder",
            )
        state.restore(found.tensors, self._parameters, self._optimiser)
        self._history = found.history
        self._publish()
        return found.epochs

    def epochs(self, start: int = 0) -> Iterator[Epoch]:
        """Train from epoch ``start`` on; each epoch is on disk when it is yielded.

        Raises:
            ZsadError: a loss is not finite; what the folder holds stays as it is.
        """
        with torch.random.fork_rng():
            for epoch in range(start, self.training.epochs):
                began = time.perf_counter()
                terms = self._epoch(epoch)
                self._history.append(terms)
                tensors = state.tensors_of(self._parameters, self._optimiser)
                state.write(state.State(epoch + 1, self.known_by, self._history, tensors), self.folder)
                self._publish()
                yield Epoch(epoch + 1, self.training.epochs, terms, time.perf_counter() - began)

    def observe(self) -> Iterator[int]:
        """Look at all pictures once, for methods that only read the tower; yields how many have been seen."""
        root = self.circumstances.cache
        if root is None or not isinstance(self.method, Reader):
            return
        key = {
            "method": self.card.method,
            "config": repr(self.method.config),
            "backbone": self.method.clip.fingerprint,
            "size": self.pictures.size,
            "precision": self.circumstances.precision,
            "pictures": self.facts.get("pictures"),
        }
        limit = self.circumstances.cache_bytes
        self._observations = Observations(root, key, len(self.pictures), self._observe, limit)
        yield from self._observations.fill()

    def _groups(self) -> list[dict[str, Any]]:
        """One group of parameters for each first rate."""
        by_rate: dict[float, list[Tensor]] = {}
        for name, one in self._parameters.items():
            own = (rate for part, rate in self.training.rates.items() if part in name)
            by_rate.setdefault(next(own, self.training.learning_rate), []).append(one)
        return [{"params": group, "lr": rate, "first": rate} for rate, group in by_rate.items()]

    def _epoch(self, epoch: int) -> dict[str, float]:
        self.method.train()
        for group in self._optimiser.param_groups:
            group["lr"] = group["first"] * self.training.rate(epoch)
        order = torch.randperm(len(self.pictures), generator=torch.Generator().manual_seed(_mix(self.seed, epoch)))
        steps = order.split(self.training.batch_size)
        micro = self.circumstances.micro_batch or self.training.batch_size
        pieces = [piece.tolist() for step in steps for piece in step.split(micro)]
        batches = self.pictures.batches(pieces, self.circumstances.workers, with_pixels=self._observations is None)
        sums: dict[str, float] = {}
        for number, step in enumerate(steps):
            torch.manual_seed(_mix(self.seed, epoch, number))
            self._optimiser.zero_grad()
            for _ in range(math.ceil(len(step) / micro)):
                batch = next(batches)
                terms = self._terms(batch, epoch)
                self._check(terms, epoch, number)
                torch.stack(list(terms.values())).sum().mul(len(batch.indices) / len(step)).backward()
                for name, term in terms.items():
                    sums[name] = sums.get(name, 0.0) + float(term.detach()) * len(batch.indices)
            self._clip()
            self._optimiser.step()
        return {name: total / len(self.pictures) for name, total in sums.items()}

    def _terms(self, batch: Batch, epoch: int) -> dict[str, Float[Tensor, ""]]:
        masks, device = batch.masks, self.circumstances.device
        class_names = [in_words(self.pictures.samples[index].class_name) for index in batch.indices]
        if self._observations is not None:
            seen = self._observations.read(batch.indices)
            evidence = self._judge(Observation(seen.patches.to(device), seen.image.to(device), seen.grid), class_names)
        else:
            pixels = batch.pixels
            if self.training.augment:
                pixels, masks = self._augmented(batch, epoch)
            with self._autocast():
                evidence = self.method(self._normalised(pixels), class_names)
        described = tuple(self.describe(index) for index in batch.indices) if self.describe else ()
        return self.method.loss(evidence, Target(batch.labels.to(device), masks.to(device), described))

    def _judge(self, observation: Observation, class_names: Sequence[str]) -> Evidence:
        assert isinstance(self.method, Reader)
        with self._autocast():
            return self.method.judge(observation, class_names)

    @torch.no_grad()
    def _observe(self, indices: Sequence[int]) -> Observation:
        assert isinstance(self.method, Reader)
        with self._autocast():
            seen = self.method.observe(self._normalised(self.pictures.batch(indices).pixels))
        kept = torch.bfloat16 if self.circumstances.precision == "bf16" else torch.float32
        return Observation(seen.patches.to(kept), seen.image.to(kept), seen.grid)

    def _normalised(self, pixels: Float[Tensor, "batch 3 rows cols"]) -> Float[Tensor, "batch 3 rows cols"]:
        config = self.method.clip.config
        mean, std = (torch.tensor(values)[:, None, None] for values in (config.mean, config.std))
        return ((pixels - mean) / std).to(self.circumstances.device)

    def _augmented(self, batch: Batch, epoch: int) -> tuple[Tensor, Tensor]:
        changed = [
            augment(image, mask, _mix(self.seed, epoch, index))
            for index, image, mask in zip(batch.indices, batch.pixels, batch.masks, strict=True)
        ]
        return torch.stack([image for image, _ in changed]), torch.stack([mask for _, mask in changed])

    def _autocast(self) -> AbstractContextManager[None]:
        half = self.circumstances.precision == "bf16"
        return torch.autocast(torch.device(self.circumstances.device).type, torch.bfloat16, enabled=half)

    def _check(self, terms: dict[str, Float[Tensor, ""]], epoch: int, step: int) -> None:
        wrong = [name for name, term in terms.items() if not term.isfinite()]
        if wrong:
            raise ZsadError(
                "a loss is finite",
                f"{', '.join(wrong)} at step {step + 1} of epoch {epoch + 1}",
                "lower the learning rate, or train in fp32; the epochs before are kept",
            )

    def _clip(self) -> None:
        for part, bound in self.training.clip_norms.items():
            torch.nn.utils.clip_grad_norm_([one for name, one in self._parameters.items() if part in name], bound)

    def _publish(self) -> None:
        """The detector as it now is, and the card of its training."""
        checkpoint.write(self.card, self.method, self.folder)
        words = self.known_by | {
            "epochs_done": len(self._history),
            "trained_parameters": sum(one.numel() for one in self._parameters.values()),
            "history": self._history,
        }
        write_atomically(self.folder / CARD, (json.dumps(words, indent=2) + "\n").encode())
        write_atomically(self.folder / PICTURES, "".join(f"{one}\n" for one in self.hashes).encode())


def _mix(*numbers: int) -> int:
    """One seed of several numbers."""
    mixed = 0
    for number in numbers:
        mixed = (mixed * 1_000_003 + number + 1) % (1 << 62)
    return mixed

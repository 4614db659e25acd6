"""The loop: epochs, steps, and a checkpoint after every epoch from which a run goes on to the same bits."""

import json
import math
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from zsad import checkpoint
from zsad.errors import ConfigError, ZsadError
from zsad.methods._trainable import Trainable, TrainingConfig
from zsad.runtime import RuntimeConfig, without_tf32
from zsad.trainer import state
from zsad.trainer.forward import Describe, Forward, mixed
from zsad.trainer.images import TrainingImages


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
class TrainingRun:
    """Trains one method on one set of images into one folder.

    Args:
        method: with its initial parameters, on the device.
        card: what the folder says of the detector.
        training: epochs, batch size, rates.
        images: at the size of the method.
        seed: of the order, the augmentation and all that is drawn.
        folder: for checkpoints and the detector.
        runtime: device, precision, micro batch, workers and cache.
        facts: what else the card of the training says, such as data and versions; part of what a run is known by.
        describe: sentences about an image, for methods that ask for them.
        hashes: content hash of each image, kept so that none of them is ever used as a test.
    """

    method: Trainable
    card: checkpoint.Card
    training: TrainingConfig
    images: TrainingImages
    seed: int
    folder: Path
    runtime: RuntimeConfig = field(default_factory=RuntimeConfig)
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
        self._check_names()
        self._optimiser = torch.optim.Adam(
            self._groups(), betas=self.training.betas, weight_decay=self.training.weight_decay
        )
        augmented, described = self.training.augment, self.describe
        self._forward = Forward(self.method, self.images, self.seed, augmented, self.runtime, described)
        self._history: list[dict[str, float]] = []

    @property
    def known_by(self) -> dict[str, Any]:
        """What determines the result, beside the code and the machine."""
        runtime = self.runtime
        words = {
            "detector": asdict(self.card),
            "training": asdict(self.training),
            "seed": self.seed,
            "precision": runtime.precision,
            "micro_batch": runtime.micro_batch,
            "device": runtime.device_type,
            "cache_bytes": runtime.cache_bytes if self._forward.observes_once else None,
            **self.facts,
        }
        return json.loads(json.dumps(words))

    def resume(self) -> int:
        """Take up what the folder holds; returns the number of epochs that are done.

        A run may go on for more epochs than it began with, or for fewer: no rate, order or draw of an epoch depends on
        how many there will be, so that it ends in the same bits as one that was as long from the beginning.

        Raises:
            InputError: the folder holds no readable run.
            ConfigError: it holds another run, or more epochs of this one are done.
        """
        found = state.read(self.folder)
        ours, theirs = _without_length(self.known_by), _without_length(found.run)
        different = [key for key in ours if theirs.get(key) != ours[key]]
        if different:
            raise ConfigError(
                f"a run goes on as it began in {self.folder}",
                f"another {' and '.join(different)}",
                "say what was said at first, or train into another folder",
            )
        if found.epochs > self.training.epochs:
            raise ConfigError(
                f"a run goes on with at least as many epochs as are done in {self.folder}",
                f"{self.training.epochs} of {found.epochs} that are done",
                f"say --epochs {found.epochs} or more, or train into another folder",
            )
        state.restore(found, self._parameters, self._optimiser)
        self._history = found.history
        self._publish()
        return found.epochs

    def observe(self) -> Iterator[int]:
        """Look at all images once, for methods that only read the tower; yields how many have been seen."""
        with without_tf32():
            yield from self._forward.observe(self.hashes)

    def epochs(self, start: int = 0) -> Iterator[Epoch]:
        """Train from epoch ``start`` on; each epoch is on disk when it is yielded.

        Raises:
            ZsadError: a loss or a parameter is not finite; what the folder holds stays as it is.
        """
        on_gpu = self.runtime.device_type == "cuda"
        for epoch in range(start, self.training.epochs):
            began = time.perf_counter()
            with torch.random.fork_rng(devices=[self.runtime.device] if on_gpu else []), without_tf32():
                terms = self._epoch(epoch)
            self._check("parameter", self._parameters, f"after epoch {epoch + 1}")
            self._history.append(terms)
            tensors = state.tensors_of(self._parameters, self._optimiser)
            state.write(state.State(epoch + 1, self.known_by, self._history, tensors), self.folder)
            self._publish()
            yield Epoch(epoch + 1, self.training.epochs, terms, time.perf_counter() - began)

    def _groups(self) -> list[dict[str, Any]]:
        """One group of parameters for each first rate."""
        by_rate: dict[float, list[Tensor]] = {}
        for name, one in self._parameters.items():
            own = (rate for part, rate in self.training.rates.items() if part in name)
            by_rate.setdefault(next(own, self.training.learning_rate), []).append(one)
        return [{"params": group, "lr": rate, "first": rate} for rate, group in by_rate.items()]

    def _check_names(self) -> None:
        """What a recipe says of parameters is said of some; the method's own words may be of modules switched off."""
        ours = self.method.training_defaults
        asked = (self.training.rates.keys() - ours.rates.keys()) | (
            self.training.clip_norms.keys() - ours.clip_norms.keys()
        )
        for part in sorted(asked):
            if not any(part in name for name in self._parameters):
                raise ConfigError(
                    "rates and clip_norms are for parts of the names of parameters",
                    repr(part),
                    "see trained_state.safetensors",
                )

    def _epoch(self, epoch: int) -> dict[str, float]:
        self.method.train()
        for group in self._optimiser.param_groups:
            group["lr"] = group["first"] * self.training.rate(epoch)
        order = torch.randperm(len(self.images), generator=torch.Generator().manual_seed(mixed(self.seed, epoch)))
        steps = order.split(self.training.batch_size)
        micro = self.runtime.micro_batch or self.training.batch_size
        pieces = [piece.tolist() for step in steps for piece in step.split(micro)]
        batches = self.images.batches(pieces, self.runtime.workers, self._forward.needs_pixels)
        sums: dict[str, float] = {}
        for number, step in enumerate(steps):
            torch.manual_seed(mixed(self.seed, epoch, number))
            self._optimiser.zero_grad()
            for _ in range(math.ceil(len(step) / micro)):
                batch = next(batches)
                terms = self._forward.terms(batch, epoch)
                self._check("loss", terms, f"at step {number + 1} of epoch {epoch + 1}")
                torch.stack(list(terms.values())).sum().mul(len(batch.indices) / len(step)).backward()
                for name, term in terms.items():
                    sums[name] = sums.get(name, 0.0) + float(term.detach()) * len(batch.indices)
            self._clip()
            self._optimiser.step()
        return {name: total / len(self.images) for name, total in sums.items()}

    def _check(self, what: str, values: dict[str, Any], when: str) -> None:
        wrong = [name for name, value in values.items() if not value.isfinite().all()]
        if wrong:
            raise ZsadError(
                f"a {what} is finite",
                f"{', '.join(wrong[:3])} {when}",
                "lower the learning rate or train in fp32, into another folder; this one keeps the epochs before",
            )

    def _clip(self) -> None:
        for part, bound in self.training.clip_norms.items():
            torch.nn.utils.clip_grad_norm_([one for name, one in self._parameters.items() if part in name], bound)

    def _publish(self) -> None:
        """The detector as it now is, and the card of its training."""
        words = self.known_by | {
            "epochs_done": len(self._history),
            "trained_parameters": sum(one.numel() for one in self._parameters.values()),
            "history": self._history,
        }
        checkpoint.write(self.card, self.method, checkpoint.TrainingRecord(self.hashes, words), self.folder)


def _without_length(run: dict[str, Any]) -> dict[str, Any]:
    """What a run is known by, apart from how many epochs it will have."""
    training = run.get("training")
    if not isinstance(training, dict):
        return run
    return run | {"training": {key: value for key, value in training.items() if key != "epochs"}}

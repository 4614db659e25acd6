"""The training loop: epochs, steps, and a checkpoint after every epoch, from which a run resumes bit-exactly."""

import json
import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from zsad import checkpoint
from zsad.errors import ConfigError, ZsadError
from zsad.methods._trainable import Trainable, TrainingConfig
from zsad.parts.noise import part_of_batch
from zsad.runtime import RuntimeConfig, without_tf32
from zsad.trainer import state
from zsad.trainer.batch_loss import BatchLoss, Describe, mixed
from zsad.trainer.images import TrainingImages
from zsad.trainer.observers import Epoch, TrainingObserver
from zsad.trainer.processes import Processes


@dataclass
class TrainingRun:
    """Trains one method on one set of images into one folder.

    Args:
        method: with its initial parameters, on the device.
        card: of the detector.
        training: epochs, batch size, rates.
        images: at the size of the method.
        seed: of the order, the augmentation and all other random numbers.
        folder: for checkpoints and the detector.
        runtime: device, precision, micro batch, workers and cache.
        provenance: data, recipe and versions for the training record; part of the identity of the run.
        describe: gives the descriptions of an image, for methods whose loss uses them.
        hashes: content hash of each image, saved so that an evaluation can refuse them.
        processes: those that train together; only the first writes into the folder.
    """

    method: Trainable
    card: checkpoint.Card
    training: TrainingConfig
    images: TrainingImages
    seed: int
    folder: Path
    runtime: RuntimeConfig = field(default_factory=RuntimeConfig)
    provenance: dict[str, Any] = field(default_factory=dict)
    describe: Describe | None = None
    hashes: tuple[str, ...] = ()
    processes: Processes = field(default_factory=Processes)

    def __post_init__(self) -> None:
        self._parameters = {
            name: parameter for name, parameter in self.method.named_parameters() if parameter.requires_grad
        }
        if not self._parameters:
            raise ConfigError(
                "a method with these options has something to train",
                f"{self.card.method} with {self.card.options}",
                "switch a module on, or use the detector untrained",
            )
        self._check_patterns()
        self._statistics = state.running_statistics(self.method)
        kind = torch.optim.AdamW if self.training.decoupled_weight_decay else torch.optim.Adam
        self._optimiser = kind(
            self._parameter_groups(), betas=self.training.betas, weight_decay=self.training.weight_decay
        )
        self._loss = BatchLoss(self.method, self.images, self.seed, self.training.augment, self.runtime, self.describe)
        self._history: list[dict[str, float]] = []

    @property
    def identity(self) -> dict[str, Any]:
        """All that determines the result, apart from the code and the machine."""
        runtime = self.runtime
        own = ("package", "class_path")  # of methods of other packages; version 0.1.0 has neither key
        card = {key: value for key, value in asdict(self.card).items() if key not in own or value is not None}
        values = {
            "detector": card,
            "training": asdict(self.training),
            "seed": self.seed,
            "precision": runtime.precision,
            "micro_batch": runtime.micro_batch,
            "device": runtime.device_type,
            "cache_bytes": runtime.cache_bytes if self._loss.caches_features else None,
            **self.provenance,
        }
        return json.loads(json.dumps(values))

    def resume(self) -> int:
        """Restore the state in the folder; returns the number of complete epochs.

        A run may be resumed with more epochs than it was started with, or with fewer: no learning rate, order or random
        number of an epoch depends on the number of epochs, so that the result is that of an uninterrupted run, to the
        bit.

        Raises:
            InputError: the folder holds no readable run.
            ConfigError: it holds another run, or more epochs of this one are complete.
        """
        saved = state.read(self.folder)
        ours, theirs = _comparable(self.identity), _comparable(saved.run)
        untold = {"max_images"} - theirs.keys()  # in earlier versions: of these the hash of the data tells
        different = [key for key in ours if key not in untold and theirs.get(key) != ours[key]]
        if different:
            raise ConfigError(
                f"a run is resumed with the settings that it was started with in {self.folder}",
                f"another {' and '.join(different)}",
                "repeat the first settings, or train into another folder",
            )
        if saved.epochs > self.training.epochs:
            raise ConfigError(
                f"a run is resumed with at least as many epochs as are complete in {self.folder}",
                f"{self.training.epochs} of {saved.epochs} that are complete",
                f"say --epochs {saved.epochs} or more, or train into another folder",
            )
        state.restore(saved, self._parameters, self._optimiser, self._statistics)
        self._history = saved.history
        self._save_detector()
        return saved.epochs

    def synchronise(self, epochs: int) -> int:
        """Give all processes the parameters and the state of the first; returns its number of complete epochs."""
        if self.processes.count == 1:
            return epochs
        tensors = state.state_tensors(self._parameters, self._optimiser, self._statistics)
        cpu = {name: tensor.detach().cpu() for name, tensor in tensors.items()}
        saved = self.processes.shared(state.TrainingState(epochs, {}, self._history, cpu))
        state.restore(saved, self._parameters, self._optimiser, self._statistics)
        self._history = saved.history
        return saved.epochs

    def train(self, start: int = 0, observers: Sequence[TrainingObserver] = ()) -> None:
        """Extract features where they can be cached, then train from epoch ``start`` on.

        Raises:
            ZsadError: as :meth:`epochs` does.
        """
        if start < self.training.epochs:
            for done in self.extract_features():
                for observer in observers:
                    observer.features(done, len(self.images))
        for epoch in self.epochs(start):
            for observer in observers:
                observer.epoch(epoch)

    def extract_features(self) -> Iterator[int]:
        """Cache the features of all images, for methods on a frozen backbone; yields the number that are done."""
        with without_tf32():
            yield from self._loss.extract_features(self.hashes)

    def epochs(self, start: int = 0) -> Iterator[Epoch]:
        """Train from epoch ``start`` on (counted from 0); each epoch is on disk when it is yielded.

        Raises:
            ZsadError: a loss or a parameter is not finite; what the folder holds stays as it is.
        """
        on_gpu = self.runtime.device_type == "cuda"
        for epoch in range(start, self.training.epochs):
            start_time = time.perf_counter()
            with torch.random.fork_rng(devices=[self.runtime.device] if on_gpu else []), without_tf32():
                terms = self._epoch(epoch)
            self._check_finite("parameter", self._parameters, f"after epoch {epoch + 1}")
            self._history.append(terms)
            if self.processes.rank == 0:
                self._save()
            yield Epoch(epoch + 1, self.training.epochs, terms, time.perf_counter() - start_time)

    def _save(self) -> None:
        """Write the state and the detector after an epoch."""
        tensors = state.state_tensors(self._parameters, self._optimiser, self._statistics)
        state.write(state.TrainingState(len(self._history), self.identity, self._history, tensors), self.folder)
        self._save_detector()

    def _parameter_groups(self) -> list[dict[str, Any]]:
        """One parameter group for each initial learning rate."""
        by_rate: dict[float, list[Tensor]] = {}
        for name, parameter in self._parameters.items():
            matching = (rate for part, rate in self.training.rates.items() if part in name)
            by_rate.setdefault(next(matching, self.training.learning_rate), []).append(parameter)
        return [{"params": group, "lr": rate, "first": rate} for rate, group in by_rate.items()]

    def _check_patterns(self) -> None:
        """A recipe's patterns match some parameter; the method's own may be those of modules that are switched off."""
        defaults = self.method.training_defaults
        patterns = (self.training.rates.keys() - defaults.rates.keys()) | (
            self.training.clip_norms.keys() - defaults.clip_norms.keys()
        )
        for part in sorted(patterns):
            if not any(part in name for name in self._parameters):
                raise ConfigError(
                    "rates and clip_norms are for parts of the names of parameters",
                    repr(part),
                    "see trained_state.safetensors",
                )

    def _epoch(self, epoch: int) -> dict[str, float]:
        self.method.train()
        first, batch_size = self.training.first_epochs, self.training.batch_size_of(epoch)
        if first:
            self.method.begin_stage(int(epoch >= first))
        order = torch.randperm(len(self.images), generator=torch.Generator().manual_seed(mixed(self.seed, epoch)))
        steps = order.split(batch_size)
        copies = self.processes.count if self.method.couples_images else 1
        parts = [step if copies > 1 else self.processes.part(step) for step in steps]
        micro_batch = self.runtime.micro_batch or batch_size
        indices = [micro.tolist() for part in parts if len(part) for micro in part.split(micro_batch)]
        batches = self.images.batches(indices, self.runtime.workers, self._loss.needs_pixels)
        sums: dict[str, float] = {}
        for number, (step, part) in enumerate(zip(steps, parts, strict=True)):
            self._set_rates(epoch, (epoch - first) * len(steps) + number)
            self._optimiser.zero_grad()
            first_image = 0 if copies > 1 else self.processes.place(len(step))
            for micro in range(math.ceil(len(part) / micro_batch)):
                batch = next(batches)
                torch.manual_seed(mixed(self.seed, epoch, number))  # each draws as the whole batch does
                with part_of_batch(first_image + micro * micro_batch, len(step)):
                    terms = self._loss.terms(batch, epoch)
                self._check_finite("loss", terms, f"at step {number + 1} of epoch {epoch + 1}")
                torch.stack(list(terms.values())).sum().mul(len(batch.indices) / (len(step) * copies)).backward()
                for name, term in terms.items():
                    sums[name] = sums.get(name, 0.0) + float(term.detach()) * len(batch.indices) / copies
            self.processes.add_gradients(self._parameters.values())
            self._clip_gradients()
            self._optimiser.step()
        self.processes.average(self._statistics.values())
        return {name: total / len(self.images) for name, total in self.processes.total(sums).items()}

    def _set_rates(self, epoch: int, step: int) -> None:
        for group in self._optimiser.param_groups:
            group["lr"] = group["first"] * self.training.rate(epoch, step)

    def _check_finite(self, what: str, values: dict[str, Any], when: str) -> None:
        not_finite = [name for name, value in values.items() if not value.isfinite().all()]
        if not_finite:
            raise ZsadError(
                f"a {what} is finite",
                f"{', '.join(not_finite[:3])} {when}",
                "lower the learning rate or train in fp32, into another folder; this one keeps the epochs before",
            )

    def _clip_gradients(self) -> None:
        for part, bound in self.training.clip_norms.items():
            matching = [parameter for name, parameter in self._parameters.items() if part in name]
            torch.nn.utils.clip_grad_norm_(matching, bound)

    def _save_detector(self) -> None:
        """Write the detector as it is now, and its training record."""
        record = self.identity | {
            "epochs_done": len(self._history),
            "trained_parameters": sum(parameter.numel() for parameter in self._parameters.values()),
            "history": self._history,
        }
        if self.processes.count > 1:
            record["processes"] = self.processes.count
        checkpoint.write(self.card, self.method, checkpoint.TrainingRecord(self.hashes, record), self.folder)


def _comparable(run: dict[str, Any]) -> dict[str, Any]:
    """The identity of a run without its number of epochs, and without what is not set of its training and detector.

    Later versions add fields to both, which are None, empty or false where an earlier one saved them. A threshold,
    which version 0.1.0 always recorded, has no part in training, and the fingerprint tells more than the name of a
    backbone, whose weights may have got another name since.
    """
    training, detector = run.get("training"), run.get("detector")
    if isinstance(training, dict):
        unset: tuple[Any, ...] = (None, [], False)
        set_ones = {key: value for key, value in training.items() if value not in unset and key != "epochs"}
        run = run | {"training": set_ones}
    if isinstance(detector, dict):
        others = ("threshold", "backbone")
        decisive = {key: value for key, value in detector.items() if value is not None and key not in others}
        run = run | {"detector": decisive}
    return run

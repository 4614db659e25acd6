"""Where and how a method runs: device, precision, batch sizes, workers and the cache of features."""

import os
import sys
from argparse import ArgumentParser, Namespace
from contextlib import AbstractContextManager
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from zsad.config import check_within, check_workers
from zsad.errors import ConfigError

if TYPE_CHECKING:
    import torch

Precision = Literal["fp32", "bf16"]
MAX_BATCH_SIZE = 4096
"""Images that go through a backbone together, at most."""
AUTO: Literal["auto"] = "auto"
BATCH_OF_GPU = 32
MAX_PROCESSES = 256
MAX_CACHE_GB = 1e6
"""No disk has a petabyte."""

if hasattr(os, "register_at_fork"):
    # A child that is forked has none of the threads that PyTorch believes to be there, and would wait for them forever.
    os.register_at_fork(after_in_child=lambda: "torch" in sys.modules and sys.modules["torch"].set_num_threads(1))


def number_or_auto(text: str) -> int | Literal["auto"]:
    """A whole number, or ``auto``."""
    return AUTO if text == AUTO else int(text)


_OPTIONS: dict[str, dict[str, Any]] = {
    "device": {"metavar": "NAME", "help": "cpu, cuda, cuda:1 … (default: {})"},
    "precision": {"choices": get_args(Precision), "help": "default: {}"},
    "batch_size": {"type": number_or_auto, "metavar": "N|auto", "help": "images predicted together (default: {})"},
    "micro_batch": {"type": int, "metavar": "N", "help": "split batches into N images (default: whole)"},
    "workers": {"type": int, "metavar": "N", "help": "parallel workers that read images (default: {})"},
    "processes": {"type": int, "metavar": "N", "help": "processes, on a GPU each or on the CPU (default: {})"},
    "cache": {"type": Path, "metavar": "DIR", "help": "of features of frozen backbones (default: user cache)"},
    "cache_gb": {"type": float, "metavar": "GB", "help": "size limit of that cache; 0: none (default: {:g})"},
}


@dataclass(frozen=True)
class RuntimeConfig:
    """Where and how a method runs. Results depend on it by rounding at most.

    Attributes:
        device: ``"auto"`` takes a GPU where there is one; any other name is PyTorch's own.
        precision: of weights and activations in prediction, and of the forward pass in training, where parameters,
            losses and steps are always fp32. Maps and scores are always fp32.
        batch_size: images that are predicted together; ``"auto"`` is 1 on a CPU, where more are slower, and 32 on a
            GPU, where a batch that does not fit is split. In training the batch size is a part of the optimisation.
        micro_batch: images of a training batch that are in memory at a time; their gradients are accumulated. None
            takes the whole batch.
        workers: threads that read images.
        processes: that train together, each with a part of every batch (:mod:`zsad.trainer.processes`).
        cache: folder of the features that frozen backbones extract in training; None is the user's cache folder.
        cache_gb: size limit of that cache in GB; 0 extracts the features in every epoch.

    Raises:
        ConfigError: a value is out of range.
    """

    device: str = "auto"
    precision: Precision = "fp32"
    batch_size: int | Literal["auto"] = 1
    micro_batch: int | None = None
    workers: int = 2
    cache: Path | None = None
    cache_gb: float = 20.0
    processes: int = 1

    def __post_init__(self) -> None:
        if self.precision not in get_args(Precision):
            names = ", ".join(get_args(Precision))
            raise ConfigError(f"a precision is one of {names}", repr(self.precision), "choose one of these")
        if self.batch_size != AUTO:
            if self.batch_size < 1:
                raise ConfigError("a batch has at least one image", self.batch_size, "say --batch-size 1 or more")
            check_within("the number of images in a batch", self.batch_size, 1, MAX_BATCH_SIZE)
        if self.micro_batch is not None:
            check_within("the number of images that go through at once", self.micro_batch, 1, MAX_BATCH_SIZE)
        check_workers(self.workers)
        check_within("the number of processes", self.processes, 1, MAX_PROCESSES)
        check_within("the room of the cache in GB", self.cache_gb, 0, MAX_CACHE_GB)

    @property
    def dtype(self) -> "torch.dtype":
        """The precision as PyTorch's type."""
        return torch_dtype(self.precision)

    @property
    def device_type(self) -> str:
        """The kind of device, such as ``"cuda"`` for ``"cuda:1"``."""
        import torch

        return torch.device(self.device).type

    @property
    def images_at_once(self) -> int:
        """The batch size, as a number."""
        if self.batch_size == AUTO:
            return 1 if self.device_type == "cpu" else BATCH_OF_GPU
        return self.batch_size

    @property
    def cache_bytes(self) -> int:
        """Size limit of the cache in bytes."""
        return int(self.cache_gb * 1e9)

    def resolved(self) -> "RuntimeConfig":
        """The same on a device of this machine, with ``"auto"`` replaced.

        Raises:
            ConfigError: this machine has no such device.
        """
        return replace(self, device=find_device(self.device))

    @classmethod
    def add_options(cls, parser: ArgumentParser, *names: str, **defaults: Any) -> None:
        """Add a group of command-line options.

        Args:
            parser: of a verb.
            names: the fields that the verb offers, in the order of its help.
            defaults: of some of them, where they are not those of this class.
        """
        group = parser.add_argument_group("runtime")
        usual = {field.name: field.default for field in fields(cls)} | defaults
        for name in names:
            words = _OPTIONS[name] | {"help": _OPTIONS[name]["help"].format(usual[name])}
            group.add_argument(f"--{name.replace('_', '-')}", dest=name, default=usual[name], **words)
        parser.set_defaults(runtime_fields=names)

    @classmethod
    def from_options(cls, options: Namespace) -> "RuntimeConfig":
        """What the options of :meth:`add_options` say.

        Raises:
            ConfigError: a value is out of range.
        """
        return cls(**{name: getattr(options, name) for name in options.runtime_fields})


def torch_dtype(precision: Precision) -> "torch.dtype":
    """The precision as PyTorch's type."""
    import torch

    return torch.bfloat16 if precision == "bf16" else torch.float32


def find_device(name: str) -> str:
    """``"auto"`` is a GPU where there is one; any other name is PyTorch's own.

    Raises:
        ConfigError: this machine has no such device.
    """
    import torch

    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        torch.empty(0, device=name).cpu()
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise ConfigError(
            "the device must exist on this machine", f"{name!r} ({reason})", "say --device auto"
        ) from error
    return name


def without_tf32() -> AbstractContextManager[None]:
    """fp32 means fp32 on a GPU too: convolutions do not round to TF32 within."""
    import torch

    return torch.backends.cudnn.flags(enabled=True, allow_tf32=False)

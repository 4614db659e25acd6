"""The machine's circumstances, checked: device, precision, the size at which a method runs."""

import os
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Literal

import torch

from zsad.backbones import config as architectures
from zsad.config import check_within
from zsad.errors import ConfigError

Precision = Literal["fp32", "bf16"]
GREATEST_SIDE = 4096
"""Side in px at which a method runs, at most: eight times the largest that a paper uses; beyond, memory runs out."""
MOST_AT_ONCE = 4096
"""Images that go through a tower together, at most."""
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}

if hasattr(os, "register_at_fork"):
    # A child that is forked has none of the threads that PyTorch believes to be there, and would wait for them forever.
    os.register_at_fork(after_in_child=lambda: torch.set_num_threads(1))


def image_size_for(backbone: str, image_size: int | None) -> int:
    """Side in px at which a method runs: what was asked for, rounded down to whole patches, or what suits the backbone.

    Raises:
        ConfigError: the size is below two patches, or above ``GREATEST_SIDE``.
    """
    config = architectures.get(backbone)
    least = 2 * config.vision.patch
    if image_size is not None and image_size < least:
        raise ConfigError(f"{backbone} needs an image size of at least {least} px", image_size, f"say {least} or more")
    if image_size is not None:
        check_within("an image size in px", image_size, least, GREATEST_SIDE)
    chosen = image_size or config.default_size
    return chosen - chosen % config.vision.patch


def find_device(name: str) -> str:
    """``"auto"`` is a GPU where there is one; any other name is PyTorch's own.

    Raises:
        ConfigError: this machine has no such device.
    """
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


def check_precision(name: str) -> Precision:
    """The name, if it is one.

    Raises:
        ConfigError: it is none.
    """
    if name not in DTYPES:
        raise ConfigError(f"a precision is one of {', '.join(DTYPES)}", repr(name), "choose one of these")
    return "bf16" if name == "bf16" else "fp32"


def from_anywhere(weights: str | None, backbone: str | None = None) -> str | None:
    """A path as it is found from any folder; names, such as the published tags of the backbone, stay as they are."""
    is_tag = backbone is not None and weights in architectures.weight_names(backbone)
    return str(Path(weights).resolve()) if weights is not None and not is_tag and Path(weights).exists() else weights


def exactly() -> AbstractContextManager[None]:
    """fp32 means fp32 on a GPU too: convolutions do not round to TF32 within."""
    return torch.backends.cudnn.flags(enabled=True, allow_tf32=False)

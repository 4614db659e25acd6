"""The small CLIP of zsad.testing, and what tests do with it."""

from dataclasses import replace
from typing import TypeVar

import pytest
import torch
from torch import Tensor

from zsad.backbones import config as configs
from zsad.backbones.clip import Clip
from zsad.backbones.config import ClipConfig, VisionConfig
from zsad.backbones.tokenizer import Tokenizer
from zsad.methods import FewShot, Method
from zsad.methods.clip import ClipDetector
from zsad.methods.winclip import WinClip
from zsad.parts.similarity import class_states
from zsad.testing._clip import CONFIG, DEPTH, PATCH, SIZE, build, images, tokenizer

M = TypeVar("M", bound=Method)

__all__ = [
    "CONFIG",
    "DEPTH",
    "PATCH",
    "SIZE",
    "VISION_ONLY",
    "Tokenizer",
    "assert_unchanged",
    "build",
    "frozen",
    "images",
    "register",
    "snapshot",
    "states_of",
    "tokenizer",
    "vision_only",
]

WIDER = replace(CONFIG, vision=replace(CONFIG.vision, width=48), detection_size=48)

DINOV2 = VisionConfig(
    width=32,
    depth=DEPTH,
    heads=2,
    image_size=SIZE,
    patch=PATCH,
    epsilon=1e-6,
    layer_scale=True,
    patch_bias=True,
    norm_pre=False,
)
VISION_ONLY = {
    "dinov2": ClipConfig(32, "gelu", DINOV2, position_resize="bicubic_offset"),
    "dinov2-registers": ClipConfig(32, "gelu", replace(DINOV2, registers=4)),
    "dinov3": ClipConfig(32, "gelu", replace(DINOV2, registers=4, rotary_base=100.0, epsilon=1e-5)),
}
"""The structure of the backbones that have no text tower."""


def vision_only(kind: str, seed: int = 0) -> Clip:
    """A frozen one with random weights, all of which matter."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        clip = Clip(f"small-{kind}", VISION_ONLY[kind])
        for parameter in clip.parameters():
            parameter.data.add_(0.2 * torch.randn_like(parameter))
    return clip.freeze("test", f"test {kind} {seed}")


def frozen(config: ClipConfig = CONFIG, seed: int = 0) -> Clip:
    """As loaded weights are."""
    return build(config, seed).freeze("test", f"test {seed} {config!r}")


def states_of(method: ClipDetector | WinClip, class_name: str) -> Tensor:
    """The two states of a class, as the method asks for them."""
    return class_states(method.clip, [class_name], 1, method.prompts)[0]


def ready(method: M) -> M:
    """Fitted to two images, where it has no answer without."""
    if isinstance(method, FewShot) and method.needs_normal:
        method.fit_normal(images(2, seed=9))
    return method


def snapshot(module: torch.nn.Module) -> dict[str, Tensor]:
    """A copy of every tensor."""
    return {name: tensor.clone() for name, tensor in module.state_dict().items()}


def assert_unchanged(module: torch.nn.Module, before: dict[str, Tensor]) -> None:
    """Bit for bit."""
    torch.testing.assert_close(dict(module.state_dict()), before, rtol=0, atol=0)


def register(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make ``small``, ``wider`` and ``small-dinov2`` etc. architectures that can be asked for by name."""
    known = {"small": CONFIG, "wider": WIDER} | {f"small-{kind}": config for kind, config in VISION_ONLY.items()}
    get, names = configs.get, configs.names()
    monkeypatch.setattr(configs, "get", lambda name: known[name] if name in known else get(name))
    monkeypatch.setattr(configs, "names", lambda: sorted([*names, *known]))

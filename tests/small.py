"""A small CLIP for tests: the true structure and the true vocabulary, a ten-thousandth of the arithmetic."""

from dataclasses import replace
from functools import cache
from importlib.resources import files

import pytest
import torch
from torch import Tensor

from zsad.backbones import config as configs
from zsad.backbones.clip import Clip
from zsad.backbones.config import ClipConfig, PublishedWeights, TextConfig, VisionConfig
from zsad.backbones.tokenizer import Tokenizer
from zsad.methods.clip import ClipDetector
from zsad.methods.winclip import WinClip
from zsad.parts.similarity import class_states

SIZE, PATCH, DEPTH = 32, 8, 4
CONFIG = ClipConfig(
    embed=24,
    activation="quick_gelu",
    vision=VisionConfig(width=32, depth=DEPTH, heads=2, image_size=SIZE, patch=PATCH),
    text=TextConfig(width=32, depth=2, heads=2, context=77, vocabulary=49408),
    weights={"published": PublishedWeights("owner/name", "gelu", mean=(0.5, 0.5, 0.5), std=(0.25, 0.25, 0.25))},
)
WIDER = replace(CONFIG, vision=replace(CONFIG.vision, width=48), detection_size=48)


@cache
def tokenizer() -> Tokenizer:
    """CLIP's own, of 49408 tokens."""
    return Tokenizer.from_merges(files("zsad.backbones") / "clip_merges.txt.gz", 77)


def build(config: ClipConfig = CONFIG, seed: int = 0) -> Clip:
    """Trainable, with random weights of such a size that every tensor matters to the answer."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        clip = Clip("small", config, tokenizer())
        with torch.no_grad():
            for name, parameter in clip.named_parameters():
                if parameter.ndim == 1:
                    parameter.add_(0.2 * torch.randn_like(parameter))
                elif "embedding" in name and "patch" not in name:
                    parameter.normal_()
                elif "blocks" in name:
                    parameter.mul_(2)
    return clip


def frozen(config: ClipConfig = CONFIG, seed: int = 0) -> Clip:
    """As loaded weights are."""
    return build(config, seed).freeze("test", f"test {seed} {config!r}")


def states_of(method: ClipDetector | WinClip, class_name: str) -> Tensor:
    """The two states of a class, as the method asks for them."""
    return class_states(method.clip, [class_name], 1, method.prompts)[0]


def images(batch: int, rows: int = SIZE, cols: int | None = None, seed: int = 0) -> Tensor:
    """Normalised noise, with low and high frequencies."""
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn(batch, 3, rows, cols or rows, generator=generator)
    return noise + 2 * torch.randn(batch, 3, 1, 1, generator=generator)


def snapshot(module: torch.nn.Module) -> dict[str, Tensor]:
    """A copy of every tensor."""
    return {name: tensor.clone() for name, tensor in module.state_dict().items()}


def assert_unchanged(module: torch.nn.Module, before: dict[str, Tensor]) -> None:
    """Bit for bit."""
    torch.testing.assert_close(dict(module.state_dict()), before, rtol=0, atol=0)


def register(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make ``small`` and ``wider`` architectures that can be asked for by name."""
    known, get, names = {"small": CONFIG, "wider": WIDER}, configs.get, configs.names()
    monkeypatch.setattr(configs, "get", lambda name: known[name] if name in known else get(name))
    monkeypatch.setattr(configs, "names", lambda: sorted([*names, *known]))

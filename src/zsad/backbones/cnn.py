"""Convolutional networks that sum up a picture in one vector, for methods that look beside CLIP.

    load("small")                                a network of this project, in the package (see zsad.pretrain.cnn)
    load("small", "runs/cnn.safetensors")        another one that zsad.pretrain.cnn made
    load("resnet50", "microsoft/resnet-50")      a ResNet in the form of transformers: a local folder or a hub name

What is loaded is frozen, and takes RGB in [0, 1] of any size: each network normalises as it was trained to.
"""

from abc import ABC, abstractmethod
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any, Literal, get_args

import torch
from jaxtyping import Float
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional as F

from zsad.errors import DependencyError, WeightsError, unknown_name

CnnName = Literal["small", "resnet50"]
EMBEDDED = "assets/tiny/cnn.safetensors"

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


class Cnn(nn.Module, ABC):
    """A network that ends in a global average. Freshly made it can be trained; see :meth:`freeze`.

    Attributes:
        channels: length of the vector.
    """

    channels: int

    def __init__(self) -> None:
        super().__init__()
        self.frozen = False

    @abstractmethod
    def forward(self, images: Float[Tensor, "batch 3 rows cols"]) -> Float[Tensor, "batch channels"]:
        """One vector for each RGB image in [0, 1]."""

    def freeze(self) -> "Cnn":
        """Declare the weights final: no gradients, evaluation mode for good."""
        self.frozen = True
        self.requires_grad_(False)
        return self.train(False)

    def train(self, mode: bool = True) -> "Cnn":
        """As in PyTorch, except that a frozen network stays in evaluation mode."""
        super().train(mode and not self.frozen)
        return self


class SmallCnn(Cnn):
    """Six convolutions with batch norm and ReLU on the picture at 112×112 px, to 7×7 cells: 0.43 M weights."""

    side = 112
    channels = 256
    plan = ((48, 7, 4), (96, 3, 2), (96, 3, 1), (96, 3, 1), (192, 3, 2))
    """Channels, side and stride of all convolutions but the last, 1×1; those of stride 1 add to their input."""

    def __init__(self) -> None:
        super().__init__()
        widths = [3, *(width for width, _, _ in self.plan)]
        self.layers = nn.ModuleList(
            convolution(before, *layer) for before, layer in zip(widths, self.plan, strict=False)
        )
        self.last = convolution(widths[-1], self.channels, 1, 1)

    def forward(self, images: Float[Tensor, "batch 3 rows cols"]) -> Float[Tensor, "batch channels"]:
        small = F.interpolate(images.float(), (self.side, self.side), mode="bilinear", antialias=True)
        x = (2 * small - 1).to(images.dtype).contiguous(memory_format=torch.channels_last)
        for layer, (_, _, stride) in zip(self.layers, self.plan, strict=True):
            x = layer(x) if stride > 1 else x + layer(x)
        return self.last(x).mean((2, 3))


class ResNet(Cnn):
    """A residual network (He et al., CVPR 2016) from transformers, on the picture at its own size."""

    mean: Tensor
    std: Tensor

    def __init__(self, network: nn.Module, channels: int) -> None:
        super().__init__()
        self.network, self.channels = network, channels
        self.register_buffer("mean", torch.tensor(IMAGENET_MEAN)[:, None, None], persistent=False)
        self.register_buffer("std", torch.tensor(IMAGENET_STD)[:, None, None], persistent=False)

    def forward(self, images: Float[Tensor, "batch 3 rows cols"]) -> Float[Tensor, "batch channels"]:
        return self.network((images - self.mean) / self.std).pooler_output.flatten(1)


def convolution(before: int, width: int, side: int, stride: int) -> nn.Sequential:
    """Convolution that keeps the size at stride 1, batch norm, ReLU."""
    convolve = nn.Conv2d(before, width, side, stride, padding=side // 2, bias=False)
    return nn.Sequential(convolve, nn.BatchNorm2d(width), nn.ReLU())


def load(name: str, weights: str | None = None) -> Cnn:
    """A frozen network in fp32 on the CPU.

    Args:
        name: ``"small"`` or ``"resnet50"``.
        weights: for ``small`` a file of :mod:`zsad.pretrain.cnn`, where it is not the one in the package; for
            ``resnet50`` a folder with ``config.json`` and weights in the form of transformers, or a hub name.

    Raises:
        ConfigError: the name is unknown.
        WeightsError: the weights are missing, unreadable or of another network.
        DependencyError: ``resnet50`` needs transformers.
    """
    if name == "small":
        return (_embedded() if weights is None else _small(Path(weights))).freeze()
    if name == "resnet50":
        return _resnet(weights).freeze()
    raise unknown_name("CNN", name, get_args(CnnName))


def _embedded() -> Cnn:
    with as_file(files("zsad").joinpath(EMBEDDED)) as path:
        return _small(path)


def _small(path: Path) -> Cnn:
    try:
        tensors = load_file(path)
    except (OSError, SafetensorError) as error:
        raise WeightsError(f"{path} must be a readable file of weights", error, "see zsad.pretrain.cnn") from error
    with torch.device("meta"):  # every tensor comes from the file
        cnn = SmallCnn()
    full = {key: one.float() if one.is_floating_point() else one for key, one in tensors.items()}
    try:
        cnn.load_state_dict(full, assign=True)
    except RuntimeError as error:
        raise WeightsError(
            f"{path} must hold weights of the small CNN", str(error).splitlines()[-1].strip(), "see zsad.pretrain.cnn"
        ) from error
    return cnn


def _resnet(weights: str | None) -> Cnn:
    if weights is None:
        raise WeightsError(
            "resnet50 needs its weights to be named", "none", "say a folder, or a hub name such as microsoft/resnet-50"
        )
    try:
        from transformers import ResNetModel
    except ImportError as error:
        raise DependencyError("resnet50 is read by transformers", error, "pip install 'zsad[resnet]'") from error
    try:
        found: Any = ResNetModel.from_pretrained(weights, output_loading_info=True)
    except Exception as error:  # what the reader and the hub's client raise is anything
        raise WeightsError(
            "the weights of resnet50 are a readable folder of transformers, or on the hub",
            f"{weights}: {str(error).splitlines()[0] if str(error) else type(error).__name__}",
            "bring config.json and model.safetensors here in one folder, and name the folder",
        ) from error
    network, notes = found
    if missing := sorted(notes["missing_keys"]):
        raise WeightsError(f"{weights} must hold a whole ResNet", f"nothing for {missing[0]}", "name another folder")
    return ResNet(network.float(), network.config.hidden_sizes[-1])

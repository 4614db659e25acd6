"""Convolutional networks that encode an image as one vector, for methods that use one in addition to CLIP.

    load("efficientnet-lite0")                   trained on ImageNet, in the package as the stem of ``tiny``
    load("resnet50", "microsoft/resnet-50")      a ResNet in the form of transformers: a local folder or a hub name

Networks are frozen and take RGB in [0, 1] of any size: each normalises its input itself.
"""

from abc import ABC, abstractmethod
from importlib.resources import as_file
from typing import Any, Literal, get_args

import torch
from jaxtyping import Float
from safetensors import safe_open
from torch import Tensor, nn
from torch.nn import functional as F

from zsad.backbones.config import embedded_weights
from zsad.backbones.stem import DEEP, STAGES, EfficientNet
from zsad.backbones.weights import SkipInit
from zsad.errors import DependencyError, WeightsError, unknown_name

CnnName = Literal["efficientnet-lite0", "resnet50"]
EMBEDDED_IN, PREFIX = "tiny", "vision.patch_embedding."
"""Architecture whose embedded weights contain those of the CNN, and the prefix of their names there."""

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


class Cnn(nn.Module, ABC):
    """A network that ends in a global average; see :meth:`freeze`.

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
        """Freeze the weights: no gradients, always in evaluation mode."""
        self.frozen = True
        self.requires_grad_(False)
        return self.train(False)

    def train(self, mode: bool = True) -> "Cnn":
        """As in PyTorch, except that a frozen network stays in evaluation mode."""
        super().train(mode and not self.frozen)
        return self


class EfficientNetLite0(Cnn):
    """EfficientNet-Lite0 (Tan & Le, ICML 2019) up to its last block, on the image at 224×224 px: 2.9 M weights."""

    side = 224
    channels = STAGES[DEEP].channels

    def __init__(self) -> None:
        super().__init__()
        self.network = EfficientNet()

    def forward(self, images: Float[Tensor, "batch 3 rows cols"]) -> Float[Tensor, "batch channels"]:
        resized = F.interpolate(images.float(), (self.side, self.side), mode="bilinear", antialias=True)
        return self.network.outputs((2 * resized - 1).to(images.dtype))[DEEP].mean((2, 3))


class ResNet(Cnn):
    """A residual network (He et al., CVPR 2016) from transformers, on the image at its own size."""

    mean: Tensor
    std: Tensor

    def __init__(self, network: nn.Module, channels: int) -> None:
        super().__init__()
        self.network, self.channels = network, channels
        self.register_buffer("mean", torch.tensor(IMAGENET_MEAN)[:, None, None], persistent=False)
        self.register_buffer("std", torch.tensor(IMAGENET_STD)[:, None, None], persistent=False)

    def forward(self, images: Float[Tensor, "batch 3 rows cols"]) -> Float[Tensor, "batch channels"]:
        return self.network((images - self.mean) / self.std).pooler_output.flatten(1)


def load(name: str, weights: str | None = None) -> Cnn:
    """A frozen network in fp32 on the CPU.

    Args:
        name: ``"efficientnet-lite0"`` or ``"resnet50"``.
        weights: of ``resnet50``, a folder with ``config.json`` and weights in the form of transformers, or a hub name;
            those of ``efficientnet-lite0`` are in the package.

    Raises:
        ConfigError: the name is unknown.
        WeightsError: the weights are missing, unreadable or of another network, or given where there is no choice.
        DependencyError: ``resnet50`` needs transformers.
    """
    if name == "efficientnet-lite0":
        return _embedded(weights).freeze()
    if name == "resnet50":
        return _resnet(weights).freeze()
    raise unknown_name("CNN", name, get_args(CnnName))


def _embedded(weights: str | None) -> Cnn:
    if weights is not None:
        raise WeightsError(
            "efficientnet-lite0 has the weights that are in the package", weights, "leave the weights out"
        )
    with SkipInit():  # every tensor comes from the file
        cnn = EfficientNetLite0()
    with as_file(embedded_weights(EMBEDDED_IN)) as path, safe_open(path, "pt") as file:
        tensors = {name: file.get_tensor(PREFIX + name).float() for name in cnn.network.state_dict()}
    cnn.network.load_state_dict(tensors, assign=True)
    return cnn


def _resnet(weights: str | None) -> Cnn:
    if weights is None:
        raise WeightsError(
            "resnet50 needs its weights to be named", "none", "give a folder, or a hub name such as microsoft/resnet-50"
        )
    try:
        from transformers import ResNetModel
    except ImportError as error:
        raise DependencyError("resnet50 is read by transformers", error, "pip install 'zsad[resnet]'") from error
    try:
        loaded: Any = ResNetModel.from_pretrained(weights, output_loading_info=True)
    except Exception as error:  # the reader and the client of the hub may raise anything
        raise WeightsError(
            "the weights of resnet50 are a readable folder of transformers, or on the hub",
            f"{weights}: {str(error).splitlines()[0] if str(error) else type(error).__name__}",
            "copy config.json and model.safetensors into one folder on this machine, and give its path",
        ) from error
    network, notes = loaded
    if missing := sorted(notes["missing_keys"]):
        raise WeightsError(f"{weights} must hold a whole ResNet", f"nothing for {missing[0]}", "name another folder")
    return ResNet(network.float(), network.config.hidden_sizes[-1])

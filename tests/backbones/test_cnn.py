"""CNNs that sum up an image: the one in the package, and ResNets in the form of transformers."""

import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch.nn import functional as F
from transformers import ResNetConfig, ResNetModel

from zsad.backbones import cnn, weights
from zsad.backbones.cnn import IMAGENET_MEAN, IMAGENET_STD, EfficientNetLite0
from zsad.data.synthetic import surface
from zsad.errors import ConfigError, DependencyError, WeightsError
from zsad.tools.pretrain.teacher import Teacher


def images(count: int, rows: int = 64, cols: int = 64) -> torch.Tensor:
    rng = np.random.default_rng(0)
    return (
        torch.stack([torch.from_numpy(surface(rng, (rows, cols))[0]) for _ in range(count)]).permute(0, 3, 1, 2) / 255
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    config = ResNetConfig(embedding_size=8, hidden_sizes=[8, 16], depths=[1, 1], layer_type="bottleneck")
    ResNetModel(config).save_pretrained(tmp_path / "resnet")
    return tmp_path / "resnet"


@torch.inference_mode()
@pytest.mark.parametrize("size", [(224, 224), (300, 150)])
def test_the_embedded_one_gives_the_mean_of_the_published_networks_last_block(size: tuple[int, int]) -> None:
    """The oracle is the package that the weights come from; ours are halved, and a vector has length 35."""
    pytest.importorskip("efficientnet_lite_pytorch", reason="the oracle is the published network")
    batch = images(2, *size)
    resized = F.interpolate(batch, (224, 224), mode="bilinear", antialias=True)
    expected = Teacher()(resized).deep.mean((2, 3))
    torch.testing.assert_close(cnn.load("efficientnet-lite0")(batch), expected, rtol=2e-2, atol=5e-2)


def test_the_embedded_one_is_the_stem_of_the_backbone_and_frozen() -> None:
    network = cnn.load("efficientnet-lite0")
    assert isinstance(network, EfficientNetLite0)
    stem = weights.load(cnn.EMBEDDED_IN).vision.patch_embedding.state_dict()
    for name, one in network.network.state_dict().items():
        torch.testing.assert_close(one, stem[name], rtol=0, atol=0)
    assert not any(one.requires_grad for one in network.parameters())
    assert not any(module.training for module in network.train().modules())


@torch.inference_mode()
def test_a_vector_depends_on_the_image_alone() -> None:
    network, batch = cnn.load("efficientnet-lite0"), images(3)
    together = network(batch)
    assert together.shape == (3, network.channels)
    for image, vector in zip(batch, together, strict=True):
        torch.testing.assert_close(network(image[None])[0], vector, rtol=1e-4, atol=1e-5)
    assert (together[0] - together[1]).abs().max() > 1e-2


@torch.inference_mode()
@pytest.mark.parametrize("size", [(9, 30), (112, 112), (224, 224), (300, 150)])
def test_any_size_will_do(size: tuple[int, int]) -> None:
    assert cnn.load("efficientnet-lite0")(images(1, *size)).isfinite().all()


@torch.inference_mode()
def test_bf16_is_near_fp32() -> None:
    embedded, batch = cnn.load("efficientnet-lite0"), images(2)
    full, half = embedded(batch), cnn.load("efficientnet-lite0").to(torch.bfloat16)(batch.bfloat16())
    assert half.dtype == torch.bfloat16
    assert (half.float() - full).norm() < 0.1 * full.norm()


@torch.inference_mode()
def test_a_resnet_gives_what_transformers_gives_on_normalised_images(folder: Path) -> None:
    network, batch = cnn.load("resnet50", str(folder)), images(2, 64, 96)
    mean, std = (torch.tensor(values)[:, None, None] for values in (IMAGENET_MEAN, IMAGENET_STD))
    expected = ResNetModel.from_pretrained(folder).eval()((batch - mean) / std).pooler_output[:, :, 0, 0]
    torch.testing.assert_close(network(batch), expected)
    assert network.channels == 16
    assert not any(one.requires_grad for one in network.parameters())
    assert not any(module.training for module in network.train().modules())
    assert "mean" not in network.state_dict()


def test_a_resnet_needs_weights(tmp_path: Path, folder: Path) -> None:
    with pytest.raises(WeightsError, match=r"resnet50 needs its weights to be named.*microsoft/resnet-50"):
        cnn.load("resnet50")
    with pytest.raises(WeightsError, match=r"readable folder of transformers, or on the hub; got .*nowhere"):
        cnn.load("resnet50", str(tmp_path / "nowhere"))
    with pytest.raises(WeightsError, match=r"on the hub; got owner/name"):
        cnn.load("resnet50", "owner/name")
    tensors = load_file(folder / "model.safetensors")
    tensors.pop("embedder.embedder.convolution.weight")
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(WeightsError, match=r"must hold a whole ResNet; got nothing for embedder"):
        cnn.load("resnet50", str(folder))


def test_without_transformers_the_remedy_is_named(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(DependencyError, match=r"pip install 'zsad\[resnet\]'"):
        cnn.load("resnet50", str(folder))


def test_the_embedded_one_has_no_other_weights() -> None:
    with pytest.raises(WeightsError, match=r"in the package; got cnn\.safetensors.*leave the weights out"):
        cnn.load("efficientnet-lite0", "cnn.safetensors")


def test_an_unknown_name_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"a CNN must be one of efficientnet-lite0, resnet50; got 'resnet18'"):
        cnn.load("resnet18")

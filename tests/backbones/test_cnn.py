"""CNNs that sum up a picture: the one in the package, and ResNets in the form of transformers."""

import json
import sys
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import ResNetConfig, ResNetModel

from zsad.backbones import cnn
from zsad.backbones.cnn import EMBEDDED, IMAGENET_MEAN, IMAGENET_STD, SmallCnn
from zsad.data.synthetic import surface
from zsad.errors import ConfigError, DependencyError, WeightsError


def pictures(count: int, rows: int = 64, cols: int = 64) -> torch.Tensor:
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


def test_the_small_one_comes_with_the_package_trained_and_frozen() -> None:
    network = cnn.load("small")
    assert not any(one.requires_grad for one in network.parameters())
    assert not any(module.training for module in network.train().modules())
    assert 0.3e6 < sum(one.numel() for one in network.parameters()) < 0.6e6
    assert (files("zsad") / EMBEDDED).stat().st_size < 1e6
    card = json.loads((files("zsad") / EMBEDDED.replace(".safetensors", ".json")).read_text(encoding="utf-8"))
    assert card["parameters"] == sum(one.numel() for one in network.parameters())
    assert card["validation"]["explained"] > 0.1
    assert "research" in card["terms"]


@torch.inference_mode()
def test_the_small_one_gives_the_numbers_it_was_shipped_with() -> None:
    vector = cnn.load("small")(pictures(1))[0]
    expected = torch.tensor([0.2472, 0.5297, 0.0000, 0.6491, 0.0073, 0.1084, 0.0000, 0.0339])
    torch.testing.assert_close(vector[:8], expected, rtol=0, atol=1e-3)
    torch.testing.assert_close(vector.mean(), torch.tensor(0.1123), rtol=0, atol=1e-3)


def test_a_fresh_one_can_be_trained() -> None:
    network = SmallCnn()
    assert network.train().training
    assert not network.eval().training
    assert all(one.requires_grad for one in network.parameters())


@torch.inference_mode()
def test_a_vector_depends_on_the_picture_alone() -> None:
    network, batch = cnn.load("small"), pictures(3)
    together = network(batch)
    assert together.shape == (3, network.channels)
    assert together.min() >= 0
    for picture, vector in zip(batch, together, strict=True):
        torch.testing.assert_close(network(picture[None])[0], vector, rtol=1e-4, atol=1e-5)
    assert (together[0] - together[1]).abs().max() > 1e-2


@torch.inference_mode()
@pytest.mark.parametrize("size", [(9, 30), (112, 112), (224, 224), (300, 150)])
def test_any_size_will_do(size: tuple[int, int]) -> None:
    assert cnn.load("small")(pictures(1, *size)).isfinite().all()


@torch.inference_mode()
def test_bf16_is_near_fp32() -> None:
    batch = pictures(2)
    full, half = cnn.load("small")(batch), cnn.load("small").to(torch.bfloat16)(batch.bfloat16())
    assert half.dtype == torch.bfloat16
    assert (half.float() - full).norm() < 0.05 * full.norm()


@torch.inference_mode()
def test_a_resnet_gives_what_transformers_gives_on_normalised_pictures(folder: Path) -> None:
    network, batch = cnn.load("resnet50", str(folder)), pictures(2, 64, 96)
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


def test_files_that_are_no_small_cnn_are_named(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"none\.safetensors must be a readable file"):
        cnn.load("small", str(tmp_path / "none.safetensors"))
    (tmp_path / "cut.safetensors").write_bytes(b"\x00" * 20)
    with pytest.raises(WeightsError, match=r"cut\.safetensors must be a readable file"):
        cnn.load("small", str(tmp_path / "cut.safetensors"))
    save_file({"weight": torch.ones(2)}, tmp_path / "other.safetensors")
    with pytest.raises(WeightsError, match=r"other\.safetensors must hold weights of the small CNN"):
        cnn.load("small", str(tmp_path / "other.safetensors"))


def test_an_unknown_name_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"a CNN must be one of resnet50, small; got 'resnet18'.*'resnet50'"):
        cnn.load("resnet18")

"""Our towers against an independent implementation, on random weights of true shape, in every published layout."""

import json
import warnings
from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from tests import small
from zsad.backbones import weights
from zsad.backbones.clip import Clip
from zsad.backbones.state_dicts import to_our_names

transformers = pytest.importorskip("transformers", reason="the oracle is transformers' CLIP")
from tests.backbones import oracle  # noqa: E402  # needs transformers

SIZES = {"ViT-B-32": (224, 518), "ViT-L-14-336": (238,)}
"""Sizes in px: at, beyond and below the one that the positions are for. The large tower has one, for time."""
LAYOUTS = {
    "hugging face": "small",
    "open_clip": "ViT-B-32",
    "open_clip .bin": "small",
    "openai": "ViT-B-32",
    "data parallel": "small",
    "text module": "small",
}
"""With the tower that is saved and loaded, one of true size for each way to read tensors."""
TEXTS = ("a photo of a damaged metal nut.", "x", "a close-up photo of the unblemished carpet for visual inspection.")


@pytest.fixture(scope="module", params=SIZES)
def pair(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Clip, nn.Module]:
    model = oracle.build(request.param)
    path = tmp_path_factory.mktemp("weights") / "open_clip_model.safetensors"
    save_file(oracle.openai_keys(model), path)
    return weights.load(request.param, str(path), position_resize="bicubic"), model


def close(ours: Tensor, theirs: Tensor) -> None:
    """Equal to 1e-5 of the largest magnitude."""
    assert ours.shape == theirs.shape
    error = float((ours - theirs).abs().max() / theirs.abs().max())
    assert error <= 1e-5, f"relative error {error:.2e}"


def check_vision(clip: Clip, model: nn.Module, size: int) -> None:
    depth = clip.config.vision.depth
    levels = [depth // 4 - 1, depth // 2 - 1, depth - 1]
    images = torch.randn(1, 3, size, size, generator=torch.Generator().manual_seed(size))
    with torch.inference_mode():
        theirs = model.vision_model(images, output_hidden_states=True, interpolate_pos_encoding=True)
        trace = clip.vision(images, keep=[-1, *levels])
        close(trace.kept[-1], theirs.hidden_states[0])
        for level in levels:
            close(trace.kept[level], theirs.hidden_states[level + 1])
        close(clip.vision.norm_post(trace.last[:, 0]), theirs.pooler_output)
        close(clip.vision.project(trace.last[:, 0]), model.visual_projection(theirs.pooler_output))


def test_vision(pair: tuple[Clip, nn.Module]) -> None:
    clip, model = pair
    for size in SIZES[clip.name]:
        check_vision(clip, model, size)


def test_text(pair: tuple[Clip, nn.Module]) -> None:
    clip, model = pair
    ours = clip.encode_prompts(TEXTS)
    for text, feature in zip(TEXTS, ours, strict=True):
        ids = clip.tokenizer.encode(text)
        padded = torch.tensor([ids + [ids[-1]] * (77 - len(ids))])
        with torch.inference_mode():
            theirs = model.text_projection(model.text_model(padded).pooler_output)[0]
        close(feature, theirs)


def test_all_layouts_are_the_same_weights_at_every_shape(pair: tuple[Clip, nn.Module]) -> None:
    """Vision and text, every tensor, to the bit."""
    clip, model = pair
    for theirs in (model.state_dict(), oracle.openai_keys(model)):
        assert_same(to_our_names(theirs), clip.state_dict())


def assert_same(found: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> None:
    assert found.keys() == expected.keys()
    assert not [name for name in expected if not torch.equal(found[name], expected[name])]


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_loads_to_the_same_weights(layout: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small.register(monkeypatch)
    model = oracle.build(LAYOUTS[layout])
    clip = weights.load(LAYOUTS[layout], str(_save(model, layout, tmp_path)))
    assert_same(clip.state_dict(), to_our_names(model.state_dict()))


def _save(model: nn.Module, layout: str, folder: Path) -> Path:
    keys = oracle.openai_keys(model)
    if layout == "hugging face":
        model.save_pretrained(folder)
        assert json.loads((folder / "config.json").read_text())["model_type"] == "clip"
        return folder
    if layout == "open_clip":
        save_file(keys, folder / "weights.safetensors")
        return folder / "weights.safetensors"
    if layout == "openai":
        return _torchscript(keys, folder / "ViT-B-32.pt")
    if layout == "data parallel":
        keys = {"state_dict": {f"module.{name}": tensor for name, tensor in keys.items()}, "epoch": 3}
    if layout == "text module":
        text = ("token_embedding", "positional_embedding", "ln_final", "text_projection", "transformer.")
        keys = {f"text.{name}" if name.startswith(text) else name: tensor for name, tensor in keys.items()}
    torch.save(keys, folder / "weights.bin")
    return folder / "weights.bin"


class _Archive(nn.Module):
    """A module tree whose state dict has the names and the fp16 of OpenAI's archives."""

    def forward(self, x: Tensor) -> Tensor:
        return x


def _torchscript(keys: dict[str, Tensor], path: Path) -> Path:
    root = _Archive()
    for name, tensor in keys.items():
        *parents, leaf = name.split(".")
        module: nn.Module = root
        for parent in parents:
            if not hasattr(module, parent):
                module.add_module(parent, _Archive())
            module = getattr(module, parent)
        module.register_parameter(leaf, nn.Parameter(tensor, requires_grad=False))
    for name, value in (("input_resolution", 224), ("context_length", 77), ("vocab_size", 49408)):
        root.register_buffer(name, torch.tensor(value))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.jit.save(torch.jit.script(root), path)
    return path

"""Checkpoints that the authors' code of AA-CLIP saves (commit 53db195), in two files: what each tensor is here."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from tests.small import frozen, images, register
from zsad import checkpoint
from zsad.errors import ImportRefused
from zsad.importing import ImportSettings, import_detector
from zsad.methods.aa_clip.method import AaClip, AaClipConfig


def published(
    text: int = 3, image: int = 6, relu: bool = False, text_width: int = 768, width: int = 1024, embed: int = 768
) -> tuple[dict[str, Any], dict[str, Any]]:
    """``text_adapter.pth`` and ``image_adapter_20.pth``, with what their optimisers keep."""
    random = torch.Generator().manual_seed(0)

    def draw(*shape: int) -> Tensor:
        return torch.randn(shape, generator=random) / shape[-1] ** 0.5

    of_text = {f"{number}.fc.0.weight": draw(text_width, text_width) for number in range(text)}
    of_text[f"{text}.fc.0.weight"] = draw(embed, text_width)
    of_image = {f"layer_adapters.{number}.fc.0.weight": draw(width, width) for number in range(image)}
    for head in (*(f"seg_proj.{level}" for level in range(4)), "det_proj"):
        of_image[f"{head}.fc.0.weight" if relu else f"{head}.fc.weight"] = draw(embed, width)
    optimiser = {"state": {0: {"step": torch.tensor(3.0)}}, "param_groups": [{"lr": 1e-5, "params": [0]}]}
    return (
        {"epoch": 5, "text_adapter": of_text, "text_optimizer": optimiser},
        {"epoch": 20, "image_adapter": of_image, "image_optimizer": optimiser},
    )


def test_the_published_form_is_read_with_its_quirks() -> None:
    """3 · 768² + 768² of the text; 6 · 1024² and 5 · 768 · 1024 of the images."""
    text, image = published()
    found = AaClip.from_published(text | image)
    assert sum(tensor.numel() for tensor in found.tensors.values()) == 4 * 768**2 + 6 * 1024**2 + 5 * 768 * 1024
    assert (found.backbone, found.image_size, found.activation) == ("ViT-L-14-336", 518, "gelu")
    assert AaClipConfig(**found.options) == AaClipConfig()
    text, image = published(text=2, image=4, relu=True)
    assert AaClip.from_published(text | image).options == {"text_blocks": 2, "image_blocks": 4, "relu": True}


@torch.no_grad()
def test_each_tensor_is_where_it_acts() -> None:
    """A tower of 4 blocks has adapters after one block where one of 24 has six; a text of 2 after one of three."""
    text, image = published(1, 1, text_width=32, width=32, embed=24)
    found = AaClip.from_published(text | image)
    method = AaClip(frozen()).eval()
    assert found.tensors.keys() == checkpoint.trained_state(method).keys()
    method.load_state_dict(found.tensors, strict=False)
    theirs, tower = image["image_adapter"], method.clip.vision
    tokens, grid = tower.embed(images(2))
    kept = []
    for number, block in enumerate(tower.transformer.blocks):
        tokens = block(tokens)
        if number == 0:
            out = F.leaky_relu(tokens @ theirs["layer_adapters.0.fc.0.weight"].T)
            tokens = 0.1 * out * tokens.norm(dim=-1, keepdim=True) / out.norm(dim=-1, keepdim=True) + 0.9 * tokens
        kept.append(tower.norm_post(tokens[:, 1:]))
    texts = method._texts(["nut", "nut"], 2)
    evidence = method(images(2), ["nut", "nut"])
    for level in range(4):
        patches = F.normalize(kept[level] @ theirs[f"seg_proj.{level}.fc.weight"].T, dim=-1)
        expected = (patches @ (texts[0, 1] - texts[0, 0])).unflatten(1, grid)
        torch.testing.assert_close(evidence.margins[:, level], expected, rtol=0, atol=1e-5)
    mean = F.normalize(kept[-1] @ theirs["det_proj.fc.weight"].T, dim=-1).mean(1)
    torch.testing.assert_close(evidence.image_margin, mean @ (texts[0, 1] - texts[0, 0]), rtol=0, atol=1e-5)


@torch.no_grad()
def test_the_text_passes_the_adapters_of_the_text() -> None:
    text, image = published(1, 1, text_width=32, width=32, embed=24)
    method = AaClip(frozen()).eval()
    method.load_state_dict(AaClip.from_published(text | image).tensors, strict=False)
    theirs, tower = text["text_adapter"], method.clip.text
    ids = torch.tensor([method.clip.tokenizer.encode("nut.")])

    def adapt(tokens: Tensor, _: object) -> Tensor:
        out = F.leaky_relu(tokens @ theirs["0.fc.0.weight"].T)
        return 0.1 * out * tokens.norm(dim=-1, keepdim=True) / out.norm(dim=-1, keepdim=True) + 0.9 * tokens

    tokens, _ = tower.run(ids, after={0: adapt})
    expected = F.leaky_relu(tower.norm_final(tokens[0, -1]) @ theirs["1.fc.0.weight"].T)
    method.prompts = lambda _: (["{}."] * 2, ["{}."] * 2)  # type: ignore[method-assign]
    torch.testing.assert_close(method._encode("nut")[0], F.normalize(expected, dim=0), rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda text, image: image.clear(), "has the entry image_adapter"),
        (lambda text, image: text["text_adapter"].pop("2.fc.0.weight"), "every tensor of the checkpoint is known"),
        (lambda text, image: image["image_adapter"].pop("seg_proj.3.fc.weight"), "has 4 layers seg_proj"),
        (lambda text, image: image["image_adapter"].pop("det_proj.fc.weight"), "det_proj.fc.weight"),
        (lambda text, image: image["image_adapter"].update({"det_proj.fc.weight": torch.zeros(3, 32)}), r"\(24, 32\)"),
    ],
)
def test_another_checkpoint_is_refused(
    change: Callable[[dict[str, Any], dict[str, Any]], object], message: str
) -> None:
    text, image = published(text_width=32, width=32, embed=24)
    change(text, image)
    with pytest.raises(ImportRefused, match=message):
        AaClip.from_published(text | image)


def test_both_files_are_read_from_one_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    register(monkeypatch)
    text, image = published(1, 1, text_width=32, width=32, embed=24)
    home, settings = tmp_path / "ckpt", ImportSettings(backbone="small", weights="random", image_size=32)
    home.mkdir()
    with pytest.raises(ImportRefused, match="holds the files of one training"):
        import_detector(home, "aa-clip", tmp_path / "none", settings)
    torch.save(text, home / "text_adapter.pth")
    torch.save(image, home / "image_adapter_20.pth")
    (home / "train.log").write_text("loss: 1\n")
    import_detector(home, "aa-clip", tmp_path / "out", settings)
    record = checkpoint.read_training_record(tmp_path / "out")
    assert record.training["imported"]["file"] == "ckpt"
    torch.save(image, home / "image_adapter.pth")
    with pytest.raises(ImportRefused, match=r"image_adapter in image_adapter\.pth and image_adapter_20\.pth"):
        import_detector(home, "aa-clip", tmp_path / "other", settings)

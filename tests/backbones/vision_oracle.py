"""transformers' DINOv2 and DINOv3 with random weights, and the same weights under the names of the authors."""

import torch
from torch import Tensor, nn
from transformers import (
    Dinov2Config,
    Dinov2Model,
    Dinov2WithRegistersConfig,
    Dinov2WithRegistersModel,
    DINOv3ViTConfig,
    DINOv3ViTModel,
)

from zsad.backbones.config import ClipConfig


def build(config: ClipConfig) -> nn.Module:
    """An independent tower of the architecture, with random weights of which each matters."""
    vision = config.vision
    shared = {
        "hidden_size": vision.width,
        "num_hidden_layers": vision.depth,
        "num_attention_heads": vision.heads,
        "image_size": vision.image_size,
        "patch_size": vision.patch,
    }
    if vision.rotary_base is not None:
        more = {"intermediate_size": 4 * vision.width, "num_register_tokens": 4}
        model: nn.Module = DINOv3ViTModel(DINOv3ViTConfig(**shared, **more))
    elif vision.registers:
        model = Dinov2WithRegistersModel(Dinov2WithRegistersConfig(**shared, num_register_tokens=4))
    else:
        model = Dinov2Model(Dinov2Config(**shared))
    return model.eval().requires_grad_(False)


def randomise(model: nn.Module, scale: float = 0.2) -> nn.Module:
    """Weights so large that attention is far from even, at a width of 32."""
    torch.manual_seed(0)
    for parameter in model.parameters():
        parameter.add_(scale * torch.randn_like(parameter))
    return model


def authors_keys(model: nn.Module) -> dict[str, Tensor]:
    """The weights as the state dicts of facebookresearch/dinov2 and facebookresearch/dinov3 hold them."""
    state, found = dict(model.state_dict()), {}
    is_v3 = "embeddings.patch_embeddings.weight" in state
    for name, tensor in state.items():
        if any(f".{part}_proj." in name for part in "kv"):
            continue
        key = name
        for theirs, authors in RENAMED:
            key = key.replace(theirs, authors)
        if ".q_proj." in name:
            parts = [state.get(name.replace("q_proj", f"{part}_proj")) for part in "qkv"]
            # What the authors' code masks is not zero in their files.
            key, tensor = key.replace("q_proj", "qkv"), torch.cat([parts[0] if p is None else p for p in parts])
            if is_v3 and key.endswith("bias"):
                found[f"{key}_mask"] = torch.tensor([1.0, 0.0, 1.0]).repeat_interleave(len(tensor) // 3)
        found[key] = tensor.squeeze(0) if key == "mask_token" and tensor.ndim == 3 else tensor
    if is_v3:
        found["storage_tokens"] = found.pop("register_tokens")
        channels = model.config.hidden_size // model.config.num_attention_heads
        found["rope_embed.periods"] = 100.0 ** (2 * torch.arange(channels // 4) / (channels // 2))
    return found


RENAMED = (
    ("embeddings.patch_embeddings.projection.", "patch_embed.proj."),
    ("embeddings.patch_embeddings.", "patch_embed.proj."),
    ("embeddings.position_embeddings", "pos_embed"),
    ("embeddings.", ""),
    ("encoder.layer.", "blocks."),
    ("model.layer.", "blocks."),
    ("attention.o_proj", "attn.proj"),
    ("attention.", "attn."),
    ("layer_scale1.lambda1", "ls1.gamma"),
    ("layer_scale2.lambda1", "ls2.gamma"),
    ("mlp.up_proj", "mlp.fc1"),
    ("mlp.down_proj", "mlp.fc2"),
    ("layernorm.", "norm."),
)

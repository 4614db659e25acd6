"""transformers' CLIP with random weights of true shape, and the same weights under the other layouts' keys."""

import torch
from torch import Tensor
from transformers import CLIPConfig, CLIPModel

from zsad.backbones import config as configs
from zsad.backbones.config import ClipConfig


def build(name: str, activation: str | None = None) -> CLIPModel:
    """An independent CLIP of the architecture, with reproducible random weights that are not tiny."""
    config = configs.get(name)
    torch.manual_seed(0)
    model = CLIPModel(_translate(config, activation or config.activation)).eval().requires_grad_(False)
    for parameter in model.parameters():
        if parameter.ndim == 1 and parameter.numel() > 1:
            parameter.add_(0.1 * torch.randn_like(parameter))
    return model


def openai_keys(model: CLIPModel) -> dict[str, Tensor]:
    """The model's weights under the names that OpenAI and open_clip use."""
    state = {}
    for name, tensor in model.state_dict().items():
        if ".k_proj." in name or ".v_proj." in name:
            continue
        if ".q_proj." in name:
            parts = [model.state_dict()[name.replace("q_proj", f"{part}_proj")] for part in "qkv"]
            state[_block_key(name).replace("attn.q_proj.", "attn.in_proj_")] = torch.cat(parts)
        elif ".encoder.layers." in name:
            state[_block_key(name)] = tensor
        else:
            key = SINGLE[name]
            state[key] = tensor.T.contiguous() if "projection" in name else tensor
    return state


SINGLE = {
    "logit_scale": "logit_scale",
    "text_projection.weight": "text_projection",
    "visual_projection.weight": "visual.proj",
    "vision_model.embeddings.class_embedding": "visual.class_embedding",
    "vision_model.embeddings.patch_embedding.weight": "visual.conv1.weight",
    "vision_model.embeddings.position_embedding.weight": "visual.positional_embedding",
    "vision_model.pre_layrnorm.weight": "visual.ln_pre.weight",
    "vision_model.pre_layrnorm.bias": "visual.ln_pre.bias",
    "vision_model.post_layernorm.weight": "visual.ln_post.weight",
    "vision_model.post_layernorm.bias": "visual.ln_post.bias",
    "text_model.embeddings.token_embedding.weight": "token_embedding.weight",
    "text_model.embeddings.position_embedding.weight": "positional_embedding",
    "text_model.final_layer_norm.weight": "ln_final.weight",
    "text_model.final_layer_norm.bias": "ln_final.bias",
}
INSIDE = {
    "self_attn": "attn",
    "layer_norm1": "ln_1",
    "layer_norm2": "ln_2",
    "fc1": "c_fc",
    "fc2": "c_proj",
}


def _block_key(name: str) -> str:
    tower, _, _, number, *rest = name.split(".")
    renamed = ".".join(INSIDE.get(part, part) for part in rest)
    prefix = "visual." if tower == "vision_model" else ""
    return f"{prefix}transformer.resblocks.{number}.{renamed}"


def _translate(config: ClipConfig, activation: str) -> CLIPConfig:
    def tower(shape: object) -> dict[str, object]:
        width = shape.width
        return {
            "hidden_size": width,
            "intermediate_size": 4 * width,
            "num_hidden_layers": shape.depth,
            "num_attention_heads": shape.heads,
            "hidden_act": activation,
            "projection_dim": config.embed,
        }

    vision, text = config.vision, config.text
    return CLIPConfig(
        projection_dim=config.embed,
        vision_config={**tower(vision), "image_size": vision.image_size, "patch_size": vision.patch},
        text_config={
            **tower(text),
            "vocab_size": text.vocabulary,
            "max_position_embeddings": text.context,
            "eos_token_id": 49407,
        },
    )

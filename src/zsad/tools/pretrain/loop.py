"""The optimisation: resumable at any checkpoint, and the same weights to the bit on the same machine."""

import hashlib
import json
import math
import time
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils import clip_grad_norm_
from tqdm import tqdm

from zsad.backbones import config as configs
from zsad.backbones.clip import Clip
from zsad.backbones.stem import Stem
from zsad.backbones.tokenizer import Tokenizer
from zsad.config import check_workers
from zsad.documents import DocumentError, read_json_object
from zsad.errors import ConfigError, InputError
from zsad.files import replacing, write_atomically
from zsad.metrics import auroc
from zsad.runtime import find_device
from zsad.tensors.reading import read_saved
from zsad.tools.pretrain.objective import COVERAGE_GAIN, Learner, Losses, PretrainingBatch, Window, move
from zsad.tools.pretrain.reader import FeatureReader, Standard, standard
from zsad.tools.pretrain.recipe import PretrainingRecipe
from zsad.tools.pretrain.stem import fill
from zsad.tools.pretrain.store import CorpusImage, Store, prepare
from zsad.tools.pretrain.teacher import Teacher
from zsad.tools.pretrain.vocabulary import first_merges


def run(
    recipe: PretrainingRecipe, corpus: list[CorpusImage], out: Path, *, workers: int = 2, device: str = "cpu"
) -> Clip:
    """Prepare the images, train; whatever is already in ``out`` is used and not done again.

    Args:
        recipe: all numbers.
        corpus: captioned images.
        out: folder of this run.
        workers: processes that draw images.
        device: where to train, for instance ``"cuda"``.
    """
    check_workers(workers)
    device = find_device(device)
    out.mkdir(parents=True, exist_ok=True)
    _same_run(recipe, corpus, out / "run.json")
    validation = prepare(recipe, corpus, "validation", out / "validation", workers)
    train = prepare(recipe, corpus, "train", out / "train", workers)
    tokenizer = _vocabulary(recipe, out)
    torch.manual_seed(recipe.seed)
    learner = Learner(Clip(recipe.backbone, configs.get(recipe.backbone), tokenizer), recipe)
    pooled = _take_over(learner.stem, train)
    learner.to(device)
    optimizer = torch.optim.AdamW(_groups(learner, recipe.weight_decay), lr=recipe.learning_rate, betas=(0.9, 0.98))
    done = _resume(out / "checkpoint.pt", learner, optimizer)
    steps = tqdm(range(done, recipe.steps), desc="pretrain", initial=done, total=recipe.steps, mininterval=5)
    reader, validating = (FeatureReader(store, tokenizer, learner.stem, pooled) for store in (train, validation))
    began = time.monotonic()
    for step in steps:
        losses = _step(learner, optimizer, move(reader.training(recipe, step), device), step)
        if step + 1 in recipe.average:
            with replacing(_kept(out, step + 1)) as temporary:
                torch.save(learner.state_dict(), temporary)
        steps.set_postfix({name: f"{value:.3f}" for name, value in losses.items()}, refresh=False)
        if (step + 1) % recipe.save_every == 0 or step + 1 == recipe.steps:
            scores = validate(learner, validating, device)
            _log(out, {"step": step + 1, "seconds": round(time.monotonic() - began), **losses, **scores})
            _save(out / "checkpoint.pt", learner, optimizer, step + 1)
    learner.load_state_dict(_average([_kept(out, number) for number in recipe.average]))
    _log(out, {"step": recipe.steps, "averaged": len(recipe.average), **validate(learner, validating, device)})
    return learner.clip.cpu()


def _kept(out: Path, step: int) -> Path:
    return out / f"weights-{step}.pt"


def _average(paths: list[Path]) -> dict[str, Tensor]:
    states = [read_saved(path) for path in paths]
    return {name: torch.stack([state[name] for state in states]).mean(0) for name in states[0]}


def _take_over(stem: Stem, store: Store) -> Standard:
    """Give the stem the CNN's convolutions and the statistics of its features; those of the pooled one are returned."""
    fill(stem, Teacher()).first.requires_grad_(False)
    stem.stages.requires_grad_(False)
    maps = [standard(getattr(store, name)) for name in ("early", "middle", "deep")]
    stem.mean.copy_(torch.cat([one.mean for one in maps]))
    stem.deviation.copy_(torch.cat([one.deviation for one in maps]))
    return standard(store.pooled)


@torch.no_grad()
def validate(learner: Learner, reader: FeatureReader, device: str) -> dict[str, float]:
    """Mean losses on the validation images, with fixed words and order, and how well drawn damage is found.

    The pixel AUROC is over the patches of each damaged image, averaged; the image AUROC is that of the class token.
    Images of unknown state are left out, and so is what cannot be told.
    """
    learner.eval()
    size, usable = learner.recipe.batch, reader.usable()
    found: dict[str, list[float]] = {}
    scores, truths = [], []
    for rows in np.split(usable, range(size, len(usable), size)):
        batch = move(reader.validating(rows), device)
        with torch.autocast(device.split(":")[0], torch.bfloat16):
            losses, seen = _floats(learner(batch)), learner.see(batch)
        damaged = (batch.coverage.flatten(1) > 1 / COVERAGE_GAIN).cpu().numpy()
        logits = seen.damage.cpu().numpy()
        for name, value in losses.items():
            found.setdefault(name, []).append(value)
        both = [one for one, truth in enumerate(damaged) if truth.any() and not truth.all()]
        found.setdefault("pixel_auroc", []).extend(auroc(logits[one, 1:], damaged[one]) for one in both)
        scores.append(logits[:, 0])
        truths.append(damaged.any(1))
    learner.train()
    truth = np.concatenate(truths)
    if truth.any() and not truth.all():
        found["image_auroc"] = [auroc(np.concatenate(scores), truth)]
    return {f"validation_{name}": round(float(np.mean(values)), 4) for name, values in found.items() if values}


def _step(learner: Learner, optimizer: torch.optim.Optimizer, batch: PretrainingBatch, step: int) -> dict[str, float]:
    for group in optimizer.param_groups:
        group["lr"] = _learning_rate(learner.recipe, step)
    with torch.autocast(batch.features.device.type, torch.bfloat16):
        losses: Losses = learner(batch, _window(learner.recipe, batch, step))
    optimizer.zero_grad()
    learner.total(losses).backward()
    clip_grad_norm_(learner.parameters(), 1.0)
    optimizer.step()
    return {name: round(value, 4) for name, value in _floats(losses).items()}


def _window(recipe: PretrainingRecipe, batch: PretrainingBatch, step: int) -> Window | None:
    """A random window of patches in the first part of the run (fast), the whole image in the rest."""
    if step >= recipe.window_until * recipe.steps:
        return None
    rng, grid = np.random.default_rng([recipe.seed, 9, step]), batch.coverage.shape[1]
    top, left = (int(rng.integers(grid - recipe.window + 1)) for _ in range(2))
    return Window(top, left, recipe.window)


def _learning_rate(recipe: PretrainingRecipe, step: int) -> float:
    """Linear warm-up, then a cosine to zero."""
    if step < recipe.warmup:
        return recipe.learning_rate * (step + 1) / recipe.warmup
    progress = (step - recipe.warmup) / max(1, recipe.steps - recipe.warmup)
    return recipe.learning_rate * 0.5 * (1 + math.cos(math.pi * progress))


def _groups(learner: Learner, weight_decay: float) -> list[dict[str, object]]:
    """Decay matrices only: norms, biases, embeddings and the scale are left alone."""
    trained = [(name, p) for name, p in learner.named_parameters() if p.requires_grad]
    matrices = [p for name, p in trained if p.ndim > 1 and "embedding" not in name]
    others = [p for name, p in trained if p.ndim <= 1 or "embedding" in name]
    return [{"params": matrices, "weight_decay": weight_decay}, {"params": others, "weight_decay": 0.0}]


def _same_run(recipe: PretrainingRecipe, corpus: list[CorpusImage], path: Path) -> None:
    """Note what the run is made of, or refuse to go on with a run that is made of something else."""
    words = repr([(entry.caption, entry.label, entry.source) for entry in corpus])
    corpus_hash = hashlib.sha256(words.encode()).hexdigest()
    mine = json.loads(json.dumps({"recipe": asdict(recipe), "corpus": corpus_hash}))
    if not path.is_file():
        write_atomically(path, (json.dumps(mine, indent=2) + "\n").encode())
        return
    found = _read(path)
    before = found.get("recipe")
    known = before if isinstance(before, dict) else {}
    changed = [key for key in mine["recipe"] if mine["recipe"][key] != known.get(key)]
    if found != mine:
        rule = f"{path.parent} goes on with the recipe and the corpus that it began with"
        raise ConfigError(rule, f"another {(changed or ['corpus'])[0]}", "say another --out")


def _read(path: Path) -> dict[str, object]:
    try:
        return read_json_object(path, file_names=True)
    except (OSError, DocumentError) as error:
        rule = "a run goes on from the words that it began with"
        raise InputError(rule, f"{path}: {error}", "say another --out") from error


def _vocabulary(recipe: PretrainingRecipe, out: Path) -> Tokenizer:
    path = out / "merges.txt.gz"
    if not path.is_file():
        write_atomically(path, first_merges(recipe.merges))
    return Tokenizer.from_merges(path, configs.get(recipe.backbone).text.context)


def _resume(path: Path, learner: Learner, optimizer: torch.optim.Optimizer) -> int:
    if not path.is_file():
        return 0
    state = read_saved(path)
    learner.load_state_dict(state["learner"])
    optimizer.load_state_dict(state["optimizer"])
    return int(state["step"])


def _save(path: Path, learner: Learner, optimizer: torch.optim.Optimizer, step: int) -> None:
    with replacing(path) as temporary:
        torch.save({"learner": learner.state_dict(), "optimizer": optimizer.state_dict(), "step": step}, temporary)


def _log(out: Path, row: dict[str, float | int]) -> None:
    with (out / "log.jsonl").open("a", encoding="utf-8") as file:
        file.write(json.dumps(row) + "\n")


def _floats(losses: Losses) -> dict[str, float]:
    return {name: float(getattr(losses, name).detach()) for name in ("distil", "align", "state")}

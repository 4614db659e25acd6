"""The optimisation: resumable at any checkpoint, and the same weights to the bit on the same machine."""

import hashlib
import json
import math
import shutil
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils import clip_grad_norm_
from tqdm import tqdm

from zsad.backbones import config as configs
from zsad.backbones.clip import Clip
from zsad.backbones.config import CLIP_MEAN, CLIP_STD
from zsad.backbones.tokenizer import Tokenizer
from zsad.errors import ConfigError
from zsad.files import replacing, write_atomically
from zsad.pretrain.objective import Batch, Learner, Losses, Window, move, pad
from zsad.pretrain.recipe import Recipe
from zsad.pretrain.store import FEATURES, Entry, Store, prepare
from zsad.pretrain.teacher import Features
from zsad.pretrain.vocabulary import learn_merges, write_merges
from zsad.pretrain.words import caption, state_pair, vocabulary_text


@dataclass(frozen=True)
class Standard:
    """Mean and deviation of each channel of the CNN's features over part of the training pictures."""

    early: tuple[Tensor, Tensor]
    middle: tuple[Tensor, Tensor]
    deep: tuple[Tensor, Tensor]
    pooled: tuple[Tensor, Tensor]


def run(
    recipe: Recipe, corpus: list[Entry], out: Path, *, start: Path | None = None, workers: int = 2, device: str = "cpu"
) -> Clip:
    """Prepare the pictures, learn the merges, train; whatever is already in ``out`` is used and not done again.

    Args:
        recipe: all numbers.
        corpus: captioned pictures.
        out: folder of this run.
        start: folder of an earlier run to go on from, with its vocabulary; random weights where not given.
        workers: processes that draw pictures.
        device: where to train, for instance ``"cuda"``.
    """
    out.mkdir(parents=True, exist_ok=True)
    _same_run(recipe, corpus, start, out / "run.json")
    validation = prepare(recipe, corpus, "validation", out / "validation", workers)
    train = prepare(recipe, corpus, "train", out / "train", workers)
    if start is not None:
        shutil.copyfile(start / "merges.txt.gz", out / "merges.txt.gz")
    tokenizer = _vocabulary(recipe, corpus, train, out)
    torch.manual_seed(recipe.seed)
    learner = Learner(Clip(recipe.backbone, configs.get(recipe.backbone), tokenizer), recipe).to(device)
    if start is not None:
        learner.load_state_dict(torch.load(start / "checkpoint.pt", map_location="cpu", weights_only=True)["learner"])
    optimizer = torch.optim.AdamW(_groups(learner, recipe.weight_decay), lr=recipe.learning_rate, betas=(0.9, 0.98))
    done = _resume(out / "checkpoint.pt", learner, optimizer)
    standard = _standardise(train)
    steps = tqdm(range(done, recipe.steps), desc="pretrain", initial=done, total=recipe.steps, mininterval=5)
    began = time.monotonic()
    for step in steps:
        losses = _step(learner, optimizer, _batch(train, recipe, tokenizer, standard, step, device), step)
        steps.set_postfix({name: f"{value:.3f}" for name, value in losses.items()}, refresh=False)
        if (step + 1) % recipe.save_every == 0 or step + 1 == recipe.steps:
            scores = validate(learner, validation, tokenizer, standard, device)
            _log(out, {"step": step + 1, "seconds": round(time.monotonic() - began), **losses, **scores})
            _save(out / "checkpoint.pt", learner, optimizer, step + 1)
    return learner.clip.cpu()


@torch.no_grad()
def validate(learner: Learner, store: Store, tokenizer: Tokenizer, standard: Standard, device: str) -> dict[str, float]:
    """Mean losses on the validation pictures, with fixed words and order."""
    learner.eval()
    size = learner.recipe.batch
    totals: dict[str, list[float]] = {}
    for start in range(0, len(store) - size + 1, size):
        rows = np.arange(start, start + size)
        batch = _assemble(store, rows, np.random.default_rng(start), tokenizer, standard, device, flip=False)
        with torch.autocast(device.split(":")[0], torch.bfloat16):
            losses = learner(batch)
        for name, value in _floats(losses).items():
            totals.setdefault(f"validation_{name}", []).append(value)
    learner.train()
    return {name: round(float(np.mean(values)), 4) for name, values in totals.items()}


def _step(learner: Learner, optimizer: torch.optim.Optimizer, batch: Batch, step: int) -> dict[str, float]:
    for group in optimizer.param_groups:
        group["lr"] = _learning_rate(learner.recipe, step)
    with torch.autocast(batch.images.device.type, torch.bfloat16):
        losses: Losses = learner(batch, _window(learner.recipe, batch, step))
    optimizer.zero_grad()
    learner.total(losses).backward()
    clip_grad_norm_(learner.parameters(), 1.0)
    optimizer.step()
    return {name: round(value, 4) for name, value in _floats(losses).items()}


def _window(recipe: Recipe, batch: Batch, step: int) -> Window | None:
    """A random window of patches in the first part of the run (fast), the whole picture in the rest."""
    if step >= recipe.window_until * recipe.steps:
        return None
    rng, grid = np.random.default_rng([recipe.seed, 9, step]), batch.coverage.shape[1]
    top, left = (int(2 * rng.integers((grid - recipe.window) // 2 + 1)) for _ in range(2))
    return Window(top, left, recipe.window)


def _learning_rate(recipe: Recipe, step: int) -> float:
    """Linear warm-up, then a cosine to zero."""
    if step < recipe.warmup:
        return recipe.learning_rate * (step + 1) / recipe.warmup
    progress = (step - recipe.warmup) / max(1, recipe.steps - recipe.warmup)
    return recipe.learning_rate * 0.5 * (1 + math.cos(math.pi * progress))


def _groups(learner: Learner, weight_decay: float) -> list[dict[str, object]]:
    """Decay matrices only: norms, biases, embeddings of positions and the scale are left alone."""
    matrices = [p for name, p in learner.named_parameters() if p.ndim > 1 and "embedding" not in name]
    others = [p for name, p in learner.named_parameters() if p.ndim <= 1 or "embedding" in name]
    return [{"params": matrices, "weight_decay": weight_decay}, {"params": others, "weight_decay": 0.0}]


def _batch(store: Store, recipe: Recipe, tokenizer: Tokenizer, standard: Standard, step: int, device: str) -> Batch:
    """The pictures of a step: a pass over the store in a fresh order, again and again."""
    per_pass = len(store) // recipe.batch
    order = np.random.default_rng([recipe.seed, 7, step // per_pass]).permutation(len(store))
    rows = np.sort(order[(step % per_pass) * recipe.batch :][: recipe.batch])
    return _assemble(store, rows, np.random.default_rng([recipe.seed, 8, step]), tokenizer, standard, device, flip=True)


def _assemble(
    store: Store,
    rows: np.ndarray,
    rng: np.random.Generator,
    tokenizer: Tokenizer,
    standard: Standard,
    device: str,
    flip: bool,
) -> Batch:
    metas = [store.meta[row] for row in rows]
    captions = [caption(rng, meta.name, meta.kinds, meta.caption) for meta in metas]
    pairs = [state_pair(rng, meta.name, meta.kinds) for meta in metas]
    states = [normal for normal, _ in pairs] + [anomalous for _, anomalous in pairs]
    mirrored = torch.from_numpy(rng.random(len(rows)) < 0.5) if flip else torch.zeros(len(rows), dtype=torch.bool)
    images = torch.from_numpy(store.image[rows]).permute(0, 3, 1, 2).float() / 255
    images = (images - torch.tensor(CLIP_MEAN)[:, None, None]) / torch.tensor(CLIP_STD)[:, None, None]
    coverage = torch.from_numpy(np.asarray(store.coverage[rows], np.float32))
    features = {
        name: _scale(torch.from_numpy(np.asarray(getattr(store, name)[rows], np.float32)), getattr(standard, name))
        for name in FEATURES
    }
    maps = {name: _mirror(features[name], mirrored) for name in FEATURES if name != "pooled"}
    batch = Batch(
        _mirror(images, mirrored),
        _mirror(coverage, mirrored),
        torch.tensor([float(meta.has_state) for meta in metas]),
        Features(**maps, pooled=features["pooled"]),
        pad([tokenizer.encode(text) for text in captions]),
        torch.tensor([[float(a == b) for b in captions] for a in captions]),
        pad([tokenizer.encode(text) for text in states]),
    )
    return move(batch, device)


def _mirror(values: Tensor, mirrored: Tensor) -> Tensor:
    return torch.where(mirrored.reshape(-1, *[1] * (values.ndim - 1)), values.flip(-1), values)


def _scale(values: Tensor, standard: tuple[Tensor, Tensor]) -> Tensor:
    return (values - standard[0]) / standard[1]


def _standardise(store: Store) -> Standard:
    rows = np.linspace(0, len(store) - 1, min(len(store), 1000)).astype(int)

    def of(values: np.ndarray) -> tuple[Tensor, Tensor]:
        part = torch.from_numpy(np.asarray(values[rows], np.float32))
        axes = [axis for axis in range(part.ndim) if axis != 1]
        return part.mean(axes, keepdim=True)[0], part.std(axes, keepdim=True)[0].clamp(min=1e-3)

    return Standard(*(of(getattr(store, name)) for name in FEATURES))


def _same_run(recipe: Recipe, corpus: list[Entry], start: Path | None, path: Path) -> None:
    """Note what the run is made of, or refuse to go on with a run that is made of something else."""
    words = repr([(entry.caption, entry.label, entry.source) for entry in corpus])
    corpus_hash = hashlib.sha256(words.encode()).hexdigest()
    before = None if start is None else json.loads((start / "run.json").read_text(encoding="utf-8"))
    mine = json.loads(json.dumps({"recipe": asdict(recipe), "corpus": corpus_hash, "start": before}))
    if not path.is_file():
        write_atomically(path, (json.dumps(mine, indent=2) + "\n").encode())
        return
    found = json.loads(path.read_text(encoding="utf-8"))
    changed = [key for key in mine["recipe"] if mine["recipe"][key] != found["recipe"].get(key)]
    if found != mine:
        rule = f"{path.parent} goes on with the recipe and the corpus that it began with"
        raise ConfigError(rule, f"another {(changed or ['corpus or start'])[0]}", "say another --out")


def _vocabulary(recipe: Recipe, corpus: list[Entry], store: Store, out: Path) -> Tokenizer:
    path = out / "merges.txt.gz"
    if not path.is_file():
        names = sorted({meta.name for meta in store.meta})
        kinds = sorted({kind for meta in store.meta for kind in meta.kinds})
        texts = vocabulary_text(names, [entry.caption for entry in corpus], kinds)
        write_merges(learn_merges(texts, recipe.merges), path)
    return Tokenizer.from_merges(path, configs.get(recipe.backbone).text.context)


def _resume(path: Path, learner: Learner, optimizer: torch.optim.Optimizer) -> int:
    if not path.is_file():
        return 0
    state = torch.load(path, map_location="cpu", weights_only=True)
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

"""``zsad.train``: from names to a run."""

import hashlib
import os
import platform
from collections import Counter
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path

import torch

from zsad import checkpoint
from zsad.backbones import weights as backbone_weights
from zsad.backbones.prompt_cache import cache_dir
from zsad.config import from_mapping
from zsad.data.layouts import Sample
from zsad.data.specification import Split, in_words, samples_of
from zsad.errors import ConfigError
from zsad.runtime import check_precision, find_device, from_anywhere, image_size_for
from zsad.trainer import state
from zsad.trainer.loop import Circumstances, Describe, Epoch, Run
from zsad.trainer.pictures import Pictures
from zsad.trainer.recipe import Recipe, read

Watch = Callable[[Epoch], None]


def train(
    recipe: Recipe | str,
    data: Sequence[str],
    out: str | os.PathLike[str],
    *,
    split: Split = "test",
    classes: Sequence[str] | None = None,
    seed: int = 111,
    resume: bool = False,
    knowledge: str | os.PathLike[str] | None = None,
    device: str = "auto",
    precision: str = "fp32",
    micro_batch: int | None = None,
    workers: int = 2,
    cache: str | os.PathLike[str] | None = None,
    cache_gb: float = 20.0,
    watch: Watch | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Path:
    """Train a method and leave a detector behind that ``zsad.load`` takes.

    Args:
        recipe: a recipe, the path of one, or the name of a method, which then trains as its paper says.
        data: data sets, each ``LAYOUT:PATH``. Every trained method of this family learns from the test split of an
            auxiliary data set, with its anomalous pictures and masks, and is used on other data.
        out: folder of the run; written after every epoch.
        split: the part of the data sets that is trained on.
        classes: the classes that are trained on; all where not given.
        seed: of initial parameters, order, augmentation and all that is drawn.
        resume: go on with the run that ``out`` holds, to the same weights as without the break.
        knowledge: a knowledge file (``zsad knowledge build``) beside the one that is shipped.
        device, precision: as :func:`zsad.load` takes them.
        micro_batch: images that go through at once, where a batch does not fit into memory.
        workers: threads that read pictures.
        cache: where the views of frozen towers are kept; by default in the user's cache folder.
        cache_gb: most gigabytes that they take up; 0 keeps none.
        watch: called after every epoch.
        progress: called while pictures are observed, with how many have been and how many there are.

    Returns:
        ``out``.

    Raises:
        ConfigError, InputError, WeightsError: something asked for does not exist or does not fit.
    """
    circumstances = Circumstances(
        device=find_device(device),
        precision=check_precision(precision),
        micro_batch=micro_batch,
        workers=workers,
        cache=Path(cache or cache_dir() / "observations") if cache_gb > 0 else None,
        cache_bytes=int(cache_gb * 1e9),
    )
    chosen = read(recipe) if isinstance(recipe, str) else recipe
    samples = samples_of(data, split, classes)
    run = prepare(chosen, samples, Path(out), seed=seed, knowledge=knowledge, circumstances=circumstances)
    done = begin(run, resume)
    for seen in run.observe():
        if progress is not None:
            progress(seen, len(run.pictures))
    for epoch in run.epochs(done):
        if watch is not None:
            watch(epoch)
    return run.folder


def prepare(
    recipe: Recipe,
    samples: Sequence[Sample],
    folder: Path,
    *,
    seed: int = 111,
    knowledge: str | os.PathLike[str] | None = None,
    circumstances: Circumstances | None = None,
) -> Run:
    """A run that has not begun: the method with its initial parameters, on its device, and the pictures."""
    circumstances = circumstances or Circumstances()
    method_type, training = recipe.method_type(), recipe.optimisation()
    config = from_mapping(method_type.config_type, recipe.options, f"the options of {recipe.method}")
    side = image_size_for(recipe.backbone, recipe.image_size)
    clip = backbone_weights.load(recipe.backbone, recipe.weights, activation=recipe.activation)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        method = method_type(clip, config).to(circumstances.device)
    card = checkpoint.Card(
        method=recipe.method,
        options={key: _found(key, value) for key, value in recipe.options.items()},
        backbone=recipe.backbone,
        weights=from_anywhere(recipe.weights),
        activation=recipe.activation,
        image_size=side,
        fingerprint=method.fingerprint,
    )
    pictures = Pictures(samples, side)
    describe, base = _describe(pictures, knowledge) if method.uses_descriptions else (None, None)
    hashes = pictures.hashes(circumstances.workers)
    facts = {
        "recipe": recipe.paper or recipe.method,
        "pictures": hashlib.sha256("".join(hashes).encode()).hexdigest(),
        "classes": dict(Counter(in_words(one.class_name) for one in pictures.samples)),
        "left_out": pictures.left_out,
        "knowledge": base,
        "versions": {"zsad": version("zsad"), "torch": torch.__version__, "python": platform.python_version()},
    }
    return Run(method, card, training, pictures, seed, folder, circumstances, facts, describe, tuple(hashes))


def _found(key: str, value: object) -> object:
    """An option; where it is a path to weights, as it is found from any folder."""
    return from_anywhere(value) if key.endswith("weights") and isinstance(value, str) else value


def begin(run: Run, resume: bool) -> int:
    """Take up the run that its folder holds, or make sure that it holds none; returns the epochs that are done.

    Raises:
        ConfigError: the folder holds a run and ``resume`` was not said, or the run is another one.
    """
    there = (run.folder / state.FILE).exists()
    if there and not resume:
        raise ConfigError(
            "a new run has a folder of its own",
            f"{run.folder}, which holds one",
            "say --resume, or choose another folder",
        )
    return run.resume() if there else 0


def _describe(pictures: Pictures, path: str | os.PathLike[str] | None) -> tuple[Describe, str]:
    """What the knowledge base says of a picture, and the base's content hash."""
    from zsad.knowledge import Knowledge

    base = Knowledge.shipped() if path is None else Knowledge.shipped().merged(Knowledge.read(Path(path)))
    for name in {one.class_name for one in pictures.samples}:
        base.lookup(in_words(name))  # an unknown class is an error now, not in the middle of an epoch

    def describe(index: int) -> tuple[str, ...]:
        sample = pictures.samples[index]
        return base.descriptions(in_words(sample.class_name), sample.picture)

    return describe, base.fingerprint

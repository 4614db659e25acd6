"""``zsad.train``: from names to a run."""

import hashlib
import os
import platform
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from zsad import checkpoint
from zsad.backbones import weights as backbone_weights
from zsad.backbones.config import Activation, PositionResize, absolute_weights, image_size_for
from zsad.config import check_seed, from_mapping
from zsad.data.layouts import Sample
from zsad.data.specification import DataSet, Split, in_words, samples_of
from zsad.errors import ConfigError, InputError
from zsad.locks import alone
from zsad.methods import Method
from zsad.runtime import RuntimeConfig
from zsad.trainer import state
from zsad.trainer.forward import Describe
from zsad.trainer.images import TrainingImages
from zsad.trainer.loop import Epoch, TrainingRun
from zsad.trainer.recipe import Recipe, read

Watch = Callable[[Epoch], None]


def train(
    recipe: Recipe | str | type[Method],
    data: str | DataSet | Sequence[str | DataSet],
    out: str | os.PathLike[str],
    *,
    backbone: str | None = None,
    weights: str | None = None,
    activation: Activation | None = None,
    position_resize: PositionResize | None = None,
    image_size: int | None = None,
    options: Mapping[str, Any] | None = None,
    training: Mapping[str, Any] | None = None,
    split: Split = "test",
    classes: Sequence[str] | None = None,
    seed: int = 111,
    resume: bool = False,
    knowledge: str | os.PathLike[str] | None = None,
    runtime: RuntimeConfig | None = None,
    begun: Callable[[TrainingRun], None] | None = None,
    watch: Watch | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Path:
    """Train a method and leave a detector behind that ``zsad.load`` takes.

    Args:
        recipe: a recipe, the path of one, or the name or class of a method, which then trains as its paper says.
        data: one or more data sets, each ``LAYOUT:PATH`` or a :class:`zsad.data.DataSet`. Every trained method of this
            family learns from the test split of an auxiliary data set, with its anomalous images and masks, and is used
            on other data.
        out: folder of the run; written after every epoch.
        backbone, weights, activation, position_resize, image_size: instead of the recipe's, as :func:`zsad.load` takes
            them; a method's name alone trains on the embedded backbone. Another backbone drops what the recipe says of
            its own. Where nobody says an activation, the paper's backbone runs as its authors ran it.
        options: fields of the method's configuration, for instance ``{"sigma": 8.0}``.
        training: fields of :class:`zsad.methods.TrainingConfig`, for instance ``{"epochs": 3}``.
        split: the part of the data sets that is trained on.
        classes: the classes that are trained on; all where not given.
        seed: of initial parameters, order, augmentation and all that is drawn.
        resume: go on with the run that ``out`` holds, to the same weights as without the break.
        knowledge: a knowledge file (``zsad knowledge build``) beside the one that is shipped.
        runtime: device, precision, micro batch, workers and cache.
        begun: called when all is read and checked, before any work.
        watch: called after every epoch.
        progress: called while images are observed, with how many have been and how many there are.

    Returns:
        ``out``.

    Raises:
        ConfigError, InputError, WeightsError: something asked for does not exist or does not fit, or another process
            writes into ``out``.
    """
    runtime = (runtime or RuntimeConfig()).resolved()
    chosen = recipe if isinstance(recipe, Recipe) else read(recipe)
    chosen = chosen.changed(
        backbone=backbone,
        weights=weights,
        activation=activation,
        position_resize=position_resize,
        image_size=image_size,
        options=options or {},
        training=training or {},
    )
    folder = Path(out)
    with alone(folder):
        check_folder(folder, resume)
        samples = samples_of(data, split, classes)
        run = prepare(chosen, samples, folder, seed=seed, knowledge=knowledge, runtime=runtime)
        done = begin(run, resume)
        if begun is not None:
            begun(run)
        for seen in run.observe() if done < run.training.epochs else ():
            if progress is not None:
                progress(seen, len(run.images))
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
    runtime: RuntimeConfig | None = None,
) -> TrainingRun:
    """A run that has not begun: the method with its initial parameters, on its device, and the images.

    Raises:
        ConfigError, InputError, WeightsError: as :func:`train` does.
    """
    check_seed(seed)
    runtime = (runtime or RuntimeConfig()).resolved()
    method_type, training = recipe.method_type(), recipe.optimisation()
    config = from_mapping(method_type.config_type, recipe.options, f"the options of {recipe.method}")
    side = image_size_for(recipe.backbone, recipe.image_size)
    activation = recipe.tower_activation()
    clip = backbone_weights.load(
        recipe.backbone, recipe.weights, activation=activation, position_resize=recipe.position_resize
    )
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        method = method_type(clip, config).to(runtime.device)
    card = checkpoint.Card(
        method=recipe.method,
        options={key: _found(key, value) for key, value in recipe.options.items()},
        backbone=recipe.backbone,
        weights=absolute_weights(recipe.weights, recipe.backbone),
        activation=activation,
        position_resize=recipe.position_resize,
        image_size=side,
        fingerprint=method.fingerprint,
    )
    images = TrainingImages(samples, side)
    if knowledge is not None and not method.uses_descriptions:
        raise ConfigError("a knowledge file is for a method that asks for descriptions", recipe.method, "leave it out")
    describe, base = _describe(images, knowledge) if method.uses_descriptions else (None, None)
    hashes, masks = images.hashes(runtime.workers)
    facts = {
        "recipe": recipe.paper or recipe.method,
        "data": content(hashes, masks),
        "classes": dict(Counter(in_words(one.class_name) for one in images.samples)),
        "left_out": images.left_out,
        "knowledge": base,
        "versions": {"zsad": version("zsad"), "torch": torch.__version__, "python": platform.python_version()},
    }
    return TrainingRun(method, card, training, images, seed, folder, runtime, facts, describe, tuple(hashes))


def content(images: Sequence[str], masks: Sequence[str]) -> str:
    """SHA-256 of all that is trained on, of what :meth:`zsad.trainer.images.TrainingImages.hashes` returns."""
    return hashlib.sha256(" ".join([*images, *masks]).encode()).hexdigest()


def _found(key: str, value: object) -> object:
    """An option; where it is a path to weights, as it is found from any folder."""
    return absolute_weights(value) if key.endswith("weights") and isinstance(value, str) else value


def check_folder(folder: Path, resume: bool) -> None:
    """Make sure, before any work is done, that a run may write into its folder.

    Raises:
        ConfigError: the folder holds a run and ``resume`` was not said, or a detector that no run left there.
        InputError: it holds files of a run's names that no run left there.
    """
    run, detector = (folder / state.FILE).exists(), (folder / checkpoint.CARD).exists()
    if detector and not (run and resume):
        what = "a run" if run else "a detector"
        remedy = "say --resume, or choose another folder" if run else "choose another folder"
        raise ConfigError("a new run has a folder of its own", f"{folder} with {what}", remedy)
    names = checkpoint.TRAINED_STATE, checkpoint.TRAINING, checkpoint.IMAGES
    others = [path.name for name in names if (path := checkpoint.file_of(folder, name)).exists()]
    if others and not run:
        what = f"{', '.join(others)} from elsewhere in {folder}"
        raise InputError("a run writes over no other file", what, "choose another folder, or move them away")


def begin(run: TrainingRun, resume: bool) -> int:
    """Take up the run that its folder holds, if there is one; returns the epochs that are done.

    Raises:
        ConfigError, InputError: as :func:`check_folder` does; or the run is another one.
    """
    check_folder(run.folder, resume)
    return run.resume() if (run.folder / state.FILE).exists() else 0


def _describe(images: TrainingImages, path: str | os.PathLike[str] | None) -> tuple[Describe, str]:
    """What the knowledge base says of an image, and the base's content hash."""
    from zsad.knowledge import Knowledge

    base = Knowledge.shipped() if path is None else Knowledge.shipped().merged(Knowledge.read(Path(path)))
    for name in {one.class_name for one in images.samples}:
        base.lookup(in_words(name))  # an unknown class is an error now, not in the middle of an epoch

    def describe(index: int) -> tuple[str, ...]:
        sample = images.samples[index]
        return base.descriptions(in_words(sample.class_name), sample.image)

    return describe, base.fingerprint

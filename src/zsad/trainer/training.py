"""``zsad.train``: from a method or recipe and data sets to a training run."""

import hashlib
import os
import platform
from collections import Counter
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Unpack

import torch

from zsad import checkpoint
from zsad.backbones import weights as backbone_weights
from zsad.backbones.config import absolute_weights, image_size_for
from zsad.config import check_seed, from_mapping
from zsad.data.layouts import Sample
from zsad.data.sampling import subset
from zsad.data.specification import DataSet, Split, data_set, each, in_words, samples_of
from zsad.errors import ConfigError, InputError
from zsad.locks import alone
from zsad.methods import Method
from zsad.runtime import RuntimeConfig
from zsad.trainer import processes, state
from zsad.trainer.batch_loss import Describe
from zsad.trainer.images import TrainingImages
from zsad.trainer.loop import TrainingRun
from zsad.trainer.observers import TrainingObserver
from zsad.trainer.processes import Processes
from zsad.trainer.recipe import Recipe, RecipeChanges, read


@dataclass(frozen=True)
class TrainingData:
    """What a method is trained on.

    Attributes:
        data_sets: one or more, each ``LAYOUT:PATH`` or a :class:`zsad.data.DataSet`. The trained methods of this family
            learn from the test split of an auxiliary data set, with its anomalous images and masks, and are then used
            on other data.
        split: the split that is trained on.
        classes: the classes that are trained on; all where not given.
        knowledge: file of descriptions of defects (``zsad knowledge build``), in addition to those in the package.
        max_images: of each class and state (normal, anomalous) of each data set, how many images are trained on, drawn
            with seed 0 whatever the seed of training; all where not given.
    """

    data_sets: str | DataSet | Sequence[str | DataSet]
    split: Split = "test"
    classes: Sequence[str] | None = None
    knowledge: str | os.PathLike[str] | None = None
    max_images: int | None = None

    def samples(self) -> list[Sample]:
        """What is trained on, in its natural order.

        Raises:
            ConfigError, InputError: as :func:`zsad.data.specification.samples_of` does; or ``max_images`` is below 1.
        """
        data_sets = [data_set(one) for one in each(self.data_sets)]
        chosen = samples_of(data_sets, self.split, self.classes)
        if self.max_images is None:
            return chosen
        kept = {id(sample) for sample in chosen}
        return [
            sample
            for one in data_sets
            for sample in subset([image for image in one.samples if id(image) in kept], self.max_images)
        ]


def train(
    method: str | type[Method] | Recipe,
    data: str | DataSet | Sequence[str | DataSet] | TrainingData,
    out: str | os.PathLike[str],
    *,
    seed: int = 111,
    resume: bool = False,
    runtime: RuntimeConfig | None = None,
    observers: Sequence[TrainingObserver] = (),
    **changes: Unpack[RecipeChanges],
) -> Path:
    """Train a method, and leave a detector behind that ``zsad.load`` takes.

    Args:
        method: its name or class, to train it as its paper does; or a recipe, or the path of one.
        data: a data set as ``LAYOUT:PATH`` or :class:`zsad.data.DataSet`, or several of them; or a
            :class:`TrainingData` for another split than ``test``, for some classes or images, or with a knowledge file.
        out: folder of the run; written after every epoch.
        seed: of initial parameters, order, augmentation and all other random numbers.
        resume: continue the run in ``out``, to the same weights as without the interruption.
        runtime: device, precision, micro batch, workers and cache of features.
        observers: are called after every epoch, such as :class:`zsad.trainer.observers.ProgressLog`. With several
            processes they are pickled, and called in the first.
        changes: fields of :class:`zsad.trainer.recipe.Recipe` (``backbone``, ``weights``, ``activation``,
            ``position_resize``, ``image_size``, ``options``) and of :class:`zsad.methods.TrainingConfig`
            (``epochs``, ``batch_size``, ``learning_rate``, ...) that replace those of the method or recipe.

    Returns:
        ``out``.

    Raises:
        ConfigError, InputError, WeightsError: something asked for does not exist or does not fit, or another process
            writes into ``out``.
        DependencyError: several processes are asked for, and Lightning Fabric is not installed.
    """
    chosen = (method if isinstance(method, Recipe) else read(method)).changed(**changes)
    chosen.training_config()  # a method that has nothing to train is refused before data are read
    chosen_data = data if isinstance(data, TrainingData) else TrainingData(data)
    runtime = (runtime or RuntimeConfig()).resolved()
    arguments = chosen, chosen_data, Path(out), seed, resume, runtime, tuple(observers)
    if not processes.several(runtime):
        return _train(Processes(), *arguments)
    check_output_folder(Path(out), resume)  # before processes are started
    return processes.run(_train, runtime, *arguments)


def _train(
    together: Processes,
    recipe: Recipe,
    data: TrainingData,
    folder: Path,
    seed: int,
    resume: bool,
    runtime: RuntimeConfig,
    observers: Sequence[TrainingObserver],
) -> Path:
    """In each process; the first has the folder to itself, and is the one that is observed."""
    runtime = replace(runtime, device=together.device or runtime.device)
    is_first = together.rank == 0
    with alone(folder) if is_first else nullcontext():
        if is_first:
            check_output_folder(folder, resume)
        run = prepare_run(
            recipe,
            data.samples(),
            folder,
            seed=seed,
            knowledge=data.knowledge,
            runtime=runtime,
            max_images=data.max_images,
        )
        run.processes = together
        start = run.synchronise(start_or_resume(run, resume) if is_first else 0)
        for observer in observers if is_first else ():
            observer.begun(run)
        run.train(start, observers if is_first else ())
    return run.folder


def prepare_run(
    recipe: Recipe,
    samples: Sequence[Sample],
    folder: Path,
    *,
    seed: int = 111,
    knowledge: str | os.PathLike[str] | None = None,
    runtime: RuntimeConfig | None = None,
    max_images: int | None = None,
) -> TrainingRun:
    """A run that has not started: the method with its initial parameters, on its device, and the images.

    ``max_images`` is written down: the limit within which the samples were drawn.

    Raises:
        ConfigError, InputError, WeightsError: as :func:`train` does.
    """
    check_seed(seed)
    runtime = (runtime or RuntimeConfig()).resolved()
    method_type, training = recipe.method_type(), recipe.training_config()
    config = from_mapping(method_type.config_type, recipe.options, f"the options of {recipe.method}")
    side = image_size_for(recipe.backbone, recipe.image_size)
    activation, position_resize = recipe.tower_activation(), recipe.tower_position_resize()
    clip = backbone_weights.load(
        recipe.backbone, recipe.weights, activation=activation, position_resize=position_resize
    )
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        method = method_type(clip, config).to(runtime.device)
    card = checkpoint.Card(
        method=recipe.method,
        options={key: _absolute_option(key, value) for key, value in recipe.options.items()},
        backbone=recipe.backbone,
        weights=absolute_weights(recipe.weights, recipe.backbone),
        activation=activation,
        position_resize=position_resize,
        image_size=side,
        fingerprint=method.fingerprint,
    )
    images = TrainingImages(samples, side)
    if knowledge is not None and not method.uses_descriptions:
        raise ConfigError("a knowledge file is for a method that asks for descriptions", recipe.method, "leave it out")
    describe, base = _describe(images, knowledge) if method.uses_descriptions else (None, None)
    hashes, masks = images.hashes(runtime.workers)
    provenance = {
        "recipe": recipe.paper or recipe.method,
        "data": content_hash_of(hashes, masks),
        "classes": dict(Counter(in_words(sample.class_name) for sample in images.samples)),
        "left_out": images.left_out,
        "max_images": max_images,
        "knowledge": base,
        "versions": {"zsad": version("zsad"), "torch": torch.__version__, "python": platform.python_version()},
    }
    return TrainingRun(method, card, training, images, seed, folder, runtime, provenance, describe, tuple(hashes))


def content_hash_of(images: Sequence[str], masks: Sequence[str]) -> str:
    """SHA-256 of the training data, from what :meth:`zsad.trainer.images.TrainingImages.hashes` returns."""
    return hashlib.sha256(" ".join([*images, *masks]).encode()).hexdigest()


def _absolute_option(key: str, value: object) -> object:
    """An option; a path to weights becomes absolute."""
    return absolute_weights(value) if key.endswith("weights") and isinstance(value, str) else value


def check_output_folder(folder: Path, resume: bool) -> None:
    """Make sure, before any work, that a run may write into its folder.

    Raises:
        ConfigError: the folder holds a run and ``resume`` is not set, or a detector that no run wrote.
        InputError: it holds files of a run's names that no run wrote.
    """
    run, detector = (folder / state.FILE).exists(), (folder / checkpoint.CARD).exists()
    if detector and not (run and resume):
        what = "a run" if run else "a detector"
        remedy = "say --resume, or choose another folder" if run else "choose another folder"
        raise ConfigError("a new run has a folder of its own", f"{folder} with {what}", remedy)
    names = checkpoint.TRAINED_STATE, checkpoint.TRAINING, checkpoint.IMAGES
    foreign = [path.name for name in names if (path := checkpoint.file_of(folder, name)).exists()]
    if foreign and not run:
        what = f"{', '.join(foreign)} from elsewhere in {folder}"
        raise InputError("a run writes over no other file", what, "choose another folder, or move them away")


def start_or_resume(run: TrainingRun, resume: bool) -> int:
    """Restore the run in the folder, if there is one; returns the number of complete epochs.

    Raises:
        ConfigError, InputError: as :func:`check_output_folder` does; or the run is another one.
    """
    check_output_folder(run.folder, resume)
    return run.resume() if (run.folder / state.FILE).exists() else 0


def _describe(images: TrainingImages, path: str | os.PathLike[str] | None) -> tuple[Describe, str]:
    """The descriptions of each image, and the content hash of the knowledge base."""
    from zsad.knowledge import Knowledge

    base = Knowledge.shipped() if path is None else Knowledge.shipped().merged(Knowledge.read(Path(path)))
    for name in {sample.class_name for sample in images.samples}:
        base.lookup(in_words(name))  # an unknown class is an error now, not in the middle of an epoch

    def describe(index: int) -> tuple[str, ...]:
        sample = images.samples[index]
        return base.descriptions(in_words(sample.class_name), sample.image)

    return describe, base.fingerprint

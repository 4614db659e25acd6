"""What a benchmark compares: a TOML file that names detectors, data sets, what is trained on, and seeds."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar, Literal

from zsad import methods
from zsad.backbones.config import RANDOM, Activation, PositionResize
from zsad.config import check_seed, check_within, from_mapping
from zsad.documents import DocumentError, read_toml
from zsad.errors import ConfigError, unknown_name
from zsad.methods._few_shot import FewShot
from zsad.methods._trainable import Trainable
from zsad.results.schema import GREATEST_RESOLUTION, MOST_RESAMPLES
from zsad.trainer import recipe as training
from zsad.wording import pluralised


@dataclass(frozen=True)
class Split:
    """What is trained on and what is tested on.

    Attributes:
        name: for tables and folders.
        train: data sets whose test images are trained on, as the papers do.
        test: data sets whose test images are evaluated.
        detectors: those that take part; all where not given.
    """

    name: str
    train: tuple[str, ...]
    test: tuple[str, ...]
    detectors: tuple[str, ...] | None = None


@dataclass(frozen=True)
class Change:
    """What is different for one detector.

    Attributes:
        backbone, weights, activation, position_resize, image_size: as :func:`zsad.load` takes them.
        options: fields of the method's configuration.
        training: fields of :class:`zsad.methods._trainable.TrainingConfig`.
    """

    backbone: str | None = None
    weights: str | None = None
    activation: Activation | None = None
    position_resize: PositionResize | None = None
    image_size: int | None = None
    options: dict[str, Any] = field(default_factory=dict)
    training: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Benchmark:
    """One benchmark.

    Attributes:
        title: of the leaderboard.
        detectors: names of methods, or recipes (``.toml``) relative to this recipe's folder or the current one.
        data: data sets by the names that tables have, each ``LAYOUT:PATH`` below the root of the data.
        split: one or more.
        about: a few sentences below the title.
        backbone, weights, activation, position_resize, image_size: of all detectors; where not given, each has its own
            recipe's.
        seeds: of training; each is a run. What is not trained has none.
        shots: of each class, how many normal images of its own train split a detector is shown before it judges that
            class; each number is a line of the tables, of methods with a few-shot mode. 0 is zero-shot.
        shots_seeds: of the draws of these; each is a run.
        precision: of training. Evaluations are in fp32.
        resolution: side in px at which maps and masks are compared; 0 compares at each image's own size.
        resamples: of the bootstrap behind the intervals; 0 leaves them out.
        max_train_images: training images of each class and state, for quick runs; all where not given.
        max_test_images: images of each class and state that are evaluated, for quick runs; all where not given.
        change: what is different for a detector, by its name.
        untrained: detectors whose options leave nothing to train, beside the methods that never are.
        controls: detectors that also take part with a backbone of random weights (drawn with seed 0, whatever the seed
            of training) and all else alike, as ``NAME-random-weights``: what of a result needs no pretrained backbone.
            Their rows come last in the tables, without numbers of papers.
    """

    OLDER_NAMES: ClassVar[Mapping[str, str]] = {"most": "max_train_images", "most_tested": "max_test_images"}

    title: str
    detectors: tuple[str, ...]
    data: dict[str, str]
    split: tuple[Split, ...]
    about: str = ""
    backbone: str | None = None
    weights: str | None = None
    activation: Activation | None = None
    position_resize: PositionResize | None = None
    image_size: int | None = None
    seeds: tuple[int, ...] = (111,)
    shots: tuple[int, ...] = (0,)
    shots_seeds: tuple[int, ...] = (0,)
    precision: Literal["fp32", "bf16"] = "fp32"
    resolution: int = 518
    resamples: int = 1000
    max_train_images: int | None = None
    max_test_images: int | None = None
    change: dict[str, Change] = field(default_factory=dict)
    untrained: tuple[str, ...] = ()
    controls: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for what, values in (
            ("detector", self.detectors),
            ("seed", self.seeds),
            ("split", self.split),
            ("number of shots", self.shots),
            ("seed of shots", self.shots_seeds),
        ):
            if not values:
                raise ConfigError(f"a benchmark has at least one {what}", "none", f"add a {what}")
        for what, least in (("max_train_images", 1), ("max_test_images", 1), ("resolution", 0), ("resamples", 0)):
            value = getattr(self, what)
            if value is not None and value < least:
                raise ConfigError(f"{what} of a benchmark is at least {least}", value, f"say {least} or more")
        check_within("resolution of a benchmark in px", self.resolution, 0, GREATEST_RESOLUTION)
        check_within("resamples of a benchmark", self.resamples, 0, MOST_RESAMPLES)
        for seed in (*self.seeds, *self.shots_seeds):
            check_seed(seed)
        _once("seed", [str(seed) for seed in self.seeds])
        _once("number of shots", [str(number) for number in self.shots])
        _once("seed of shots", [str(seed) for seed in self.shots_seeds])
        if min(self.shots) < 0:
            raise ConfigError("shots of a benchmark are not negative", min(self.shots), "say shots = [4]")
        _once("control", self.controls)
        _once("split", [split.name for split in self.split])
        for what, names in (("split", [split.name for split in self.split]), ("data set", list(self.data))):
            for name in names:
                if not re.fullmatch(r"[\w-][\w.-]*", name):
                    raise ConfigError(f"a {what} is named by letters, digits and hyphens", repr(name), "rename it")
        for split in self.split:
            self._check_split(split)

    def _check_split(self, split: Split) -> None:
        for name in (*split.train, *split.test):
            if name not in self.data:
                raise unknown_name(f"data set of split {split.name}", name, self.data)
        _once(f"data set of split {split.name}", split.test)
        if not split.test:
            raise ConfigError(f"split {split.name} tests on a data set", "none", "name one under test")
        if both := sorted(set(split.train) & set(split.test)):
            raise ConfigError(
                f"split {split.name} tests on data that were not trained on", ", ".join(both), "take it out of one"
            )


@dataclass(frozen=True)
class BenchmarkDetector:
    """A detector that takes part.

    Attributes:
        name: for folders, and for tables where there is no title.
        title: the row of a paper's tables that its recipe is, or its name.
        recipe: how it is made and trained, with the benchmark's changes.
        trained: whether it is trained before it is used.
        is_row: whether it is a row of a paper's ablations, whose own numbers its recipe holds.
        shots: normal images of each class that it is shown.
        base: its name whatever it is shown, by which it is trained.
        control_of: the base of the detector that this one is with random weights; empty for all but controls.
    """

    name: str
    title: str
    recipe: training.Recipe
    trained: bool
    is_row: bool = False
    shots: int = 0
    base: str = ""
    control_of: str = ""

    def control(self) -> "BenchmarkDetector":
        """The same detector on a backbone with random weights.

        Raises:
            ConfigError: the weights of this one are random already.
        """
        if self.recipe.weights == RANDOM:
            rule = "a control is of a detector whose backbone has other than random weights"
            raise ConfigError(rule, self.name, "take it out of controls, or name weights")
        return replace(
            self,
            name=f"{self.name}-random-weights",
            title=f"{self.title}, random weights",
            recipe=replace(self.recipe, weights=RANDOM),
            control_of=self.name,
        )

    def shown(self, shots: int, seeds: Sequence[int]) -> "BenchmarkDetector":
        """The same detector that is shown so many normal images of each class, drawn with these seeds."""
        if not shots:
            return replace(self, base=self.name)
        words = pluralised(shots, "shot")
        title = f"{self.title}, {words}" + (f", seed {seeds[0]}" if len(seeds) == 1 else "")
        return replace(self, name=f"{self.name}-{words.replace(' ', '-')}", title=title, shots=shots, base=self.name)


def read(path: Path) -> Benchmark:
    """The benchmark in a TOML file.

    Raises:
        ConfigError: it is missing, is no TOML, or has an unknown, missing or wrong entry.
    """
    try:
        values = read_toml(path)
    except (OSError, DocumentError) as error:
        rule = "a benchmark is a readable TOML file"
        raise ConfigError(rule, f"{path}: {error}", "see recipes/benchmark/") from error
    return from_mapping(Benchmark, values, f"benchmark {path.name}")


def entrants(benchmark: Benchmark, folder: Path) -> tuple[BenchmarkDetector, ...]:
    """The detectors of a benchmark, and after them its controls.

    Args:
        benchmark: what names them.
        folder: of its file, to which paths of recipes are relative.

    Raises:
        ConfigError: a detector, recipe, option or word of training does not exist, or two have one name.
    """
    detectors = [_entrant(benchmark, name, folder) for name in benchmark.detectors]
    names = [one.name for one in detectors]
    controls = [one.control() for one in detectors if one.name in benchmark.controls]
    shown = [each for one in (*detectors, *controls) for each in _shown(benchmark, one)]
    _once("detector", [*names, *(one.name for one in controls), *(one.name for one in shown if one.shots)])
    named = [
        *benchmark.change,
        *benchmark.untrained,
        *benchmark.controls,
        *(one for split in benchmark.split for one in split.detectors or ()),
    ]
    for name in named:
        if name not in names:
            raise unknown_name("detector of this benchmark", name, names)
    return tuple(shown)


def _shown(benchmark: Benchmark, entrant: BenchmarkDetector) -> list[BenchmarkDetector]:
    """As often as it is a line of the tables: with each number of shots for which the method has a mode."""
    method = methods.get(entrant.recipe.method)
    is_few_shot = issubclass(method, FewShot)
    is_zero_shot = not (issubclass(method, FewShot) and method.needs_normal)
    if not is_zero_shot and not any(benchmark.shots):
        rule = "a detector that is few-shot only is benchmarked with shots"
        raise ConfigError(rule, entrant.name, "say shots = [1, 2, 4], or take the detector out")
    if not is_few_shot and 0 not in benchmark.shots:
        raise ConfigError(
            "detectors of a benchmark that is few-shot alone have such a mode",
            entrant.name,
            "add 0 to its shots, or take the detector out",
        )
    numbers = [number for number in benchmark.shots if (is_few_shot if number else is_zero_shot)]
    return [entrant.shown(number, benchmark.shots_seeds) for number in numbers]


def _entrant(benchmark: Benchmark, detector: str, folder: Path) -> BenchmarkDetector:
    name, recipe, is_row = _named(detector, folder)
    for words in (benchmark, benchmark.change.get(name, Change())):
        recipe = recipe.changed(
            backbone=words.backbone,
            weights=words.weights,
            activation=words.activation,
            position_resize=words.position_resize,
            image_size=words.image_size,
            options=words.options if isinstance(words, Change) else {},
            training=words.training if isinstance(words, Change) else {},
        )
    method = methods.get(recipe.method)
    from_mapping(method.config_type, recipe.options, f"the options of {name}")
    trained = issubclass(method, Trainable) and name not in benchmark.untrained
    if trained:
        recipe.training_config()
    elif recipe.training:
        raise ConfigError(f"{name} is not trained", sorted(recipe.training), "leave its training out")
    return BenchmarkDetector(name, (is_row and recipe.paper) or name, recipe, trained, is_row)


def _named(detector: str, folder: Path) -> tuple[str, training.Recipe, bool]:
    """Name, recipe, and whether it is a row of the paper's ablations."""
    if not detector.endswith(".toml"):
        methods.get(detector)
        return detector, training.Recipe(detector), False
    path = folder / detector if (folder / detector).exists() else Path(detector)
    recipe = training.read(str(path))
    is_row = path.stem != "paper"
    return (f"{recipe.method}-{path.stem}" if is_row else recipe.method), recipe, is_row


def _once(what: str, names: list[str] | tuple[str, ...]) -> None:
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ConfigError(f"a {what} is named once", ", ".join(twice), "leave one of them out")

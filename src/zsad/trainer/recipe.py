"""What is trained and how: the method's own constants, or a TOML file that names one row of a paper's tables."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Literal, TypedDict, Unpack

from zsad import methods
from zsad.backbones.config import Activation, PositionResize
from zsad.config import from_mapping
from zsad.documents import DocumentError, read_toml
from zsad.errors import ConfigError, unknown_name
from zsad.methods import Method, Trainable, TrainingConfig
from zsad.runtime import RuntimeConfig

_OF_BACKBONE = ("weights", "activation", "position_resize", "image_size")
_RUNTIME = tuple(field.name for field in fields(RuntimeConfig) if field.name != "batch_size")


class RecipeChanges(TypedDict, total=False):
    """What may be changed of a recipe where it is used; None leaves it as it is.

    Up to ``training`` these are fields of :class:`Recipe`, the others are fields of
    :class:`zsad.methods.TrainingConfig`.
    """

    backbone: str | None
    weights: str | None
    activation: Activation | None
    position_resize: PositionResize | None
    image_size: int | None
    options: Mapping[str, Any]
    training: Mapping[str, Any]
    epochs: int | None
    batch_size: int | None
    learning_rate: float | None
    betas: tuple[float, float] | None
    weight_decay: float | None
    schedule: Literal["constant", "exponential", "inverse", "steps"] | None
    decay: float | None
    rates: dict[str, float] | None
    clip_norms: dict[str, float] | None
    augment: bool | None
    milestones: tuple[int, ...] | None
    first_stage: Mapping[str, int] | None
    decoupled_weight_decay: bool | None


@dataclass(frozen=True)
class Recipe:
    """One way of training one method.

    Attributes:
        method: its name.
        paper: the row of the paper's tables that this is, in words.
        backbone, weights, activation, position_resize, image_size: as :func:`zsad.load` takes them.
        options: fields of the method's configuration that differ from the defaults.
        training: fields of :class:`zsad.methods.TrainingConfig` that differ from the method's own.
        published: the row's own numbers in percent, by data set and metric.
    """

    method: str
    paper: str = ""
    backbone: str = "tiny"
    weights: str | None = None
    activation: Activation | None = None
    position_resize: PositionResize | None = None
    image_size: int | None = None
    options: dict[str, Any] = field(default_factory=dict)
    training: dict[str, Any] = field(default_factory=dict)
    published: dict[str, dict[str, float]] = field(default_factory=dict)

    def changed(self, **changes: Unpack[RecipeChanges]) -> "Recipe":
        """This recipe with other values; another backbone drops what the recipe says of its own.

        Raises:
            ConfigError: a key is neither a field of a recipe nor of a training configuration.
        """
        base, given = self, {key: value for key, value in changes.items() if value is not None}
        for key in given:
            if key in _RUNTIME:
                raise ConfigError(
                    "the machine is described by a RuntimeConfig", key, f"say runtime=RuntimeConfig({key}=…)"
                )
            if key not in RecipeChanges.__annotations__:
                raise unknown_name("change of a recipe", key, RecipeChanges.__annotations__)
        if given.get("backbone", self.backbone) != self.backbone:
            own: dict[str, Any] = dict.fromkeys(_OF_BACKBONE)
            base = replace(self, **own)
        fields: dict[str, Any] = {key: given[key] for key in ("backbone", *_OF_BACKBONE) if key in given}
        training = {key: given[key] for key in TrainingConfig.__dataclass_fields__ if key in given}
        return replace(
            base,
            **fields,
            options=self.options | dict(changes.get("options", {})),
            training=self.training | dict(changes.get("training", {})) | training,
        )

    def method_type(self) -> type[Trainable]:
        """The class of the method.

        Raises:
            ConfigError: the name is unknown, or nothing of the method is trained.
        """
        method = methods.get(self.method)
        if not issubclass(method, Trainable):
            trainable = [name for name, known in methods.available().items() if issubclass(known, Trainable)]
            raise ConfigError(
                "the method must have something to train", self.method, f"choose one of {', '.join(trainable)}"
            )
        return method

    def tower_activation(self) -> Activation | None:
        """The activation of the backbone: the recipe's, or that of the authors' code for the backbone of their paper.

        None is that of the weights.
        """
        method = methods.get(self.method)
        if self.activation is not None or self.backbone != method.paper_backbone:
            return self.activation
        return method.authors_activation(from_mapping(method.config_type, self.options, f"options of {self.method}"))

    def tower_position_resize(self) -> PositionResize | None:
        """How positions of the backbone are resized: as the recipe says, or as the authors of the method did it.

        None is the way of the architecture.
        """
        method = methods.get(self.method)
        if self.position_resize is not None or self.backbone != method.paper_backbone:
            return self.position_resize
        config = from_mapping(method.config_type, self.options, f"options of {self.method}")
        return method.authors_position_resize(config)

    def training_config(self) -> TrainingConfig:
        """The training configuration of the method's paper with the changes of this recipe."""
        values = asdict(self.method_type().training_defaults) | self.training
        return from_mapping(TrainingConfig, values, f"the training of {self.method}")


def read(method_or_file: str | type[Method]) -> Recipe:
    """The recipe in a TOML file, or the one that a method's name or class stands for.

    Raises:
        ConfigError: the file is missing, is no TOML, or has a wrong or missing key; the name is unknown; or it says how
            to train a method that has nothing to train.
    """
    if isinstance(method_or_file, type):
        recipe = Recipe(methods.name_of(method_or_file))
    elif not method_or_file.endswith(".toml"):
        recipe = Recipe(method_or_file)
    else:
        path = Path(method_or_file)
        try:
            values = read_toml(path)
        except (OSError, DocumentError) as error:
            raise ConfigError("a recipe is a readable TOML file", f"{path}: {error}", "see recipes/") from error
        recipe = from_mapping(Recipe, values, f"recipe {path.name}")
    if recipe.training or issubclass(methods.get(recipe.method), Trainable):
        recipe.training_config()
    return recipe

"""What is trained and how: the method's own constants, or a TOML file that names one row of a paper's tables."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from zsad import methods
from zsad.backbones.config import Activation, PositionResize
from zsad.config import from_mapping
from zsad.documents import DocumentError, read_toml
from zsad.errors import ConfigError
from zsad.methods import Method, Trainable, TrainingConfig


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

    def changed(
        self,
        *,
        backbone: str | None = None,
        weights: str | None = None,
        activation: Activation | None = None,
        position_resize: PositionResize | None = None,
        image_size: int | None = None,
        options: Mapping[str, Any],
        training: Mapping[str, Any],
    ) -> "Recipe":
        """This recipe with other words in it; another backbone drops what is said of the recipe's own."""
        base = self
        if backbone not in (None, self.backbone):
            own: dict[str, Any] = dict.fromkeys(("weights", "activation", "position_resize", "image_size"))
            base = replace(self, backbone=backbone, **own)
        given = {
            "weights": weights,
            "activation": activation,
            "position_resize": position_resize,
            "image_size": image_size,
        }
        told: dict[str, Any] = {key: value for key, value in given.items() if value is not None}
        return replace(base, **told, options=self.options | dict(options), training=self.training | dict(training))

    def method_type(self) -> type[Trainable]:
        """The class of the method.

        Raises:
            ConfigError: the name is unknown, or nothing of the method is trained.
        """
        found = methods.get(self.method)
        if not issubclass(found, Trainable):
            able = [name for name, method in methods.available().items() if issubclass(method, Trainable)]
            raise ConfigError(
                "the method must have something to train", self.method, f"choose one of {', '.join(able)}"
            )
        return found

    def tower_activation(self) -> Activation | None:
        """What the backbone runs under: what is said, or what the method's authors ran theirs under.

        None leaves it to the weights.
        """
        method = methods.get(self.method)
        if self.activation is not None or self.backbone != method.paper_backbone:
            return self.activation
        return method.authors_activation(from_mapping(method.config_type, self.options, f"options of {self.method}"))

    def optimisation(self) -> TrainingConfig:
        """The method's way of training with this recipe's changes."""
        values = asdict(self.method_type().training_defaults) | self.training
        return from_mapping(TrainingConfig, values, f"the training of {self.method}")


def read(method_or_file: str | type[Method]) -> Recipe:
    """The recipe in a TOML file, or the one that a method's name or class stands for.

    Raises:
        ConfigError: the file is missing, is no TOML, or has a wrong or missing key; or the name is unknown.
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
    recipe.optimisation()
    return recipe

"""Methods with trained parameters: the loss, the optimisation, and the two steps of methods on a frozen backbone."""

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

from jaxtyping import Float
from torch import Tensor

from zsad.config import check_within
from zsad.errors import ConfigError
from zsad.methods._base import Config, Method, Paper
from zsad.methods._published import PublishedDetector
from zsad.types import BackboneFeatures, Evidence, Target

LARGEST = 1e30
"""Largest rate that Adam can divide by its bias corrections in fp32."""


MOST_EPOCHS, MOST_IMAGES = 100_000, 4096


@dataclass(frozen=True)
class FirstStage:
    """The first epochs of a training in two stages; what each stage trains is the method's to say.

    Attributes:
        epochs: of this stage.
        batch_size: images a step in these epochs.
    """

    epochs: int
    batch_size: int

    def __post_init__(self) -> None:
        check_within("the number of epochs of a first stage", self.epochs, 1, MOST_EPOCHS)
        check_within("the number of images a step of a first stage", self.batch_size, 1, MOST_IMAGES)


@dataclass(frozen=True)
class TrainingConfig:
    """How a paper trains its method: the hyperparameters of its optimisation, always with Adam or AdamW.

    Attributes:
        epochs: passes over the data.
        batch_size: images a step.
        learning_rate: at the first epoch.
        betas: of Adam.
        weight_decay: of Adam; added to the gradient.
        decoupled_weight_decay: whether parameters are decayed beside the gradient instead (AdamW).
        schedule: the rate of epoch e, counted from 0, is the first times 1 (``constant``), decay^e (``exponential``) or
            1 / (e + 1) (``inverse``); or it is multiplied by decay at each of the ``milestones`` (``steps``).
        decay: of the exponential schedule, and of each milestone.
        milestones: numbers of steps, counted from the end of the first stage.
        rates: other first rates for parameters whose name contains the key.
        clip_norms: bounds on the norm of the gradient of parameters whose name contains the key.
        augment: whether images are augmented: rotation, translation, flip, colour jitter and noise.
        first_stage: of a training in two stages; its epochs are among ``epochs``.
    """

    epochs: int
    batch_size: int
    learning_rate: float
    betas: tuple[float, float] = (0.9, 0.999)
    weight_decay: float = 0.0
    schedule: Literal["constant", "exponential", "inverse", "steps"] = "constant"
    decay: float = 0.9
    rates: dict[str, float] = field(default_factory=dict)
    clip_norms: dict[str, float] = field(default_factory=dict)
    augment: bool = False
    milestones: tuple[int, ...] = ()
    first_stage: FirstStage | None = None
    decoupled_weight_decay: bool = False

    def __post_init__(self) -> None:
        if self.epochs < 1 or self.batch_size < 1:
            raise ConfigError(
                "training has at least one epoch and one image a step",
                f"{self.epochs} and {self.batch_size}",
                "say 1 or more",
            )
        for rate in (self.learning_rate, *self.rates.values(), self.decay):
            if not 0 < rate <= LARGEST:
                raise ConfigError(
                    f"learning rates and decay are greater than 0 and at most {LARGEST:g}",
                    rate,
                    "say 0.001, for instance",
                )
        for bound in (self.weight_decay, *self.clip_norms.values()):
            if not 0 <= bound <= LARGEST:
                raise ConfigError(f"weight decay and bounds of gradients lie in [0, {LARGEST:g}]", bound, "say 0")
        check_within("the number of epochs", self.epochs, 1, MOST_EPOCHS)
        check_within("the number of images a step", self.batch_size, 1, MOST_IMAGES)
        check_within("the decay of the schedule", self.decay, 0, 1)
        if not all(0 <= beta < 1 for beta in self.betas):
            raise ConfigError("Adam's betas lie in [0, 1)", self.betas, "say (0.9, 0.999)")

        if self.first_epochs >= self.epochs:
            rule = f"a training goes on after its first stage of {self.first_epochs} epochs"
            raise ConfigError(rule, f"{self.epochs} in all", "say more epochs, or fewer of first_stage in a recipe")

    @property
    def first_epochs(self) -> int:
        """Epochs of the first stage; 0 where there is none."""
        return 0 if self.first_stage is None else self.first_stage.epochs

    def batch_size_of(self, epoch: int) -> int:
        """Images a step in an epoch, counted from 0."""
        return (
            self.batch_size if self.first_stage is None or epoch >= self.first_epochs else self.first_stage.batch_size
        )

    def rate(self, epoch: int, step: int = 0) -> float:
        """The factor of all learning rates at an epoch, counted from 0, and after so many steps since the first stage.

        >>> TrainingConfig(epochs=9, batch_size=16, learning_rate=5e-4, schedule="inverse").rate(3)
        0.25
        """
        passed = sum(milestone <= step for milestone in self.milestones)
        factors = {"constant": 1.0, "exponential": self.decay**epoch, "inverse": 1 / (epoch + 1)}
        return (factors | {"steps": self.decay**passed})[self.schedule]


class Trainable(Method):
    """A method with parameters of its own next to the frozen CLIP; these have ``requires_grad``.

    Attributes:
        training_defaults: the hyperparameters of the paper.
        uses_descriptions: whether the loss takes descriptions of each image from the knowledge base.
    """

    training_defaults: ClassVar[TrainingConfig]
    uses_descriptions: bool = False

    @classmethod
    def from_published(cls, state: Mapping[str, Any]) -> PublishedDetector:
        """What a checkpoint that the authors' code saved is here; methods whose authors published code override it.

        Args:
            state: content of the file: tensors, numbers, text and dictionaries of these.

        Raises:
            ConfigError: no form of a checkpoint is known for the method.
            ImportRefused: names or shapes differ from those that the authors' code saves.
        """
        rule = "the form of the authors' checkpoints is known for the method"
        raise ConfigError(rule, cls.__name__, "train it: zsad train")

    def begin_stage(self, stage: int) -> None:
        """Called before each epoch of a training in two stages: 0 in the first, then 1. By default nothing changes."""

    @property
    def couples_images(self) -> bool:
        """Whether the loss of an image depends on the others of its batch; several processes then take whole batches.

        Otherwise the loss of a batch is the mean of the losses of its images. Methods with batch normalisation or terms
        that are about a batch override this.
        """
        return False

    @abstractmethod
    def loss(self, evidence: Evidence, target: Target) -> dict[str, Float[Tensor, ""]]:
        """The terms of the paper's loss, weighted as in the paper, by name; training minimises their sum.

        ``evidence`` is what :meth:`forward` returned for the images that ``target`` is about.
        """


class FrozenBackboneMethod(Trainable):
    """A method that does not modify the frozen backbone, so that training computes its features once per image."""

    @abstractmethod
    def extract_features(self, images: Float[Tensor, "batch 3 rows cols"]) -> BackboneFeatures:
        """The features that the method needs of the frozen towers; no trained parameter takes part."""

    @abstractmethod
    def predict_from_features(self, features: BackboneFeatures, class_names: Sequence[str]) -> Evidence:
        """Evidence from the features of the backbone."""

    def forward(self, images: Float[Tensor, "batch 3 rows cols"], class_names: Sequence[str]) -> Evidence:
        return self.predict_from_features(self.extract_features(images), class_names)


class InContextMethod(FrozenBackboneMethod):
    """A method that is trained with normal images of the class beside each image, as those it is used with later.

    Training draws them anew for each image and epoch, among the training images, and never the image itself.

    Attributes:
        training_shots: normal images beside each image in training.
    """

    training_shots: int

    @abstractmethod
    def predict_in_context(
        self, features: BackboneFeatures, normal: BackboneFeatures, class_names: Sequence[str]
    ) -> Evidence:
        """Evidence in training.

        Args:
            features: of the images.
            normal: of the normal images beside them, those of the first image first: :attr:`training_shots` times as
                many.
            class_names: of the images.
        """


def check_outside(method: type[Method]) -> None:
    """Refuse a method of another package or program that does not say what it is, or how it is trained.

    Raises:
        ConfigError: its paper, its configuration or its way of training is missing or of another type.
    """
    rule = "a method names its paper"
    if not isinstance(getattr(method, "paper", None), Paper):
        remedy = 'define paper = zsad.methods.Paper(title, authors, venue, year, url); a venue may be "unpublished"'
        raise ConfigError(rule, f"{method.__qualname__} without one", remedy)
    if not (isinstance(method.config_type, type) and issubclass(method.config_type, Config)):
        rule = "the config_type of a method is a dataclass derived from zsad.methods.Config"
        raise ConfigError(rule, f"{method.config_type!r:.80} of {method.__qualname__}", "derive it")
    if issubclass(method, Trainable) and not isinstance(getattr(method, "training_defaults", None), TrainingConfig):
        rule = "a method that is trained says how"
        remedy = "define training_defaults = zsad.methods.TrainingConfig(epochs=..., batch_size=..., learning_rate=...)"
        raise ConfigError(rule, f"{method.__qualname__} without training_defaults", remedy)

"""The base of all methods: normalised images and class names in, evidence out."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from hashlib import sha256
from operator import attrgetter
from typing import ClassVar, Literal, TypedDict

from jaxtyping import Float
from torch import Tensor, nn

from zsad.backbones.clip import Clip, check_text
from zsad.backbones.config import Activation, PositionResize
from zsad.config import check_within
from zsad.errors import ConfigError
from zsad.types import Evidence

GREATEST, LONGEST = 1024, 64
"""Bounds on each number, and on each list of numbers, of any method's configuration."""
GREATEST_SIGMA = 256.0


@dataclass(frozen=True)
class Paper:
    """Where a method comes from."""

    title: str
    authors: str
    venue: str
    year: int
    url: str

    def __str__(self) -> str:
        return f"{self.authors}: {self.title}. {self.venue} {self.year}. {self.url}"


class Upsampling(TypedDict):
    """Keyword arguments of :func:`zsad.parts.maps.pixel_maps`."""

    sigma: float
    align_corners: bool
    window: int | None


ImageScore = Literal["method", "map", "both"]
"""Where the score of an image comes from, see :class:`Config`."""


@dataclass(frozen=True)
class Config:
    """The configuration that all methods share; each adds the constants of its paper.

    Attributes:
        sigma: standard deviation, in px at the size at which the method runs, of the Gaussian that smooths the map.
        align_corners: how maps are enlarged, for the loss and for the answer alike: whether the outermost cells have
            their centres on the image's border (code of VAND, AdaCLIP, VCP-CLIP, Bayes-PFL and ACD-CLIP), or every
            cell lies over its own patch (AnomalyCLIP).
        smoothing_window: side, in cells, of the window in which the grid is smoothed before it is enlarged; without
            one the enlarged map is smoothed.
        image_score: an image is scored as its method says, by the upper part of its map, or by the mean log-odds of
            both. Training is not affected.
        map_share: of the cells of the map, the highest, whose mean is that upper part; in (0, 1].
    """

    sigma: float = 4.0
    align_corners: bool = False
    smoothing_window: int | None = None
    image_score: ImageScore = "method"
    map_share: float = 0.1

    def __post_init__(self) -> None:
        if not self.sigma >= 0:
            raise ConfigError("the sigma of a Gaussian is at least 0", self.sigma, "say 0 for no smoothing")
        if self.smoothing_window is not None and (self.smoothing_window < 1 or self.smoothing_window % 2 == 0):
            raise ConfigError(
                "the window of a Gaussian has an odd side",
                self.smoothing_window,
                "say 7, or sigma = 0 for no smoothing",
            )
        check_within("the share of a map that scores an image", self.map_share, 1e-6, 1)
        check_within("the sigma of a Gaussian in px", self.sigma, 0, GREATEST_SIGMA)
        for field in fields(self):
            _check_size(field.name, getattr(self, field.name))

    @property
    def upsampling(self) -> Upsampling:
        """How maps come to the size of images, as :func:`zsad.parts.maps.pixel_maps` takes it."""
        return Upsampling(sigma=self.sigma, align_corners=self.align_corners, window=self.smoothing_window)


def _check_size(name: str, value: object) -> None:
    """Values beyond these bounds are in no paper; they would need too much memory or time."""
    if isinstance(value, tuple):
        check_within(f"the number of {name}", len(value), 0, LONGEST)
        for item in value:
            _check_size(name, item)
    elif isinstance(value, int | float):
        check_within(name, value, -GREATEST, GREATEST)


def check_temperature(temperature: float) -> None:
    """Refuse a temperature that is not positive."""
    if not temperature > 0:
        raise ConfigError("a temperature is greater than 0", temperature, "say 0.07, as the papers do")


class Method(nn.Module, ABC):
    """One paper. A method sees no files, devices, epochs, thresholds or metrics; what requires a gradient is trained.

    Attributes:
        paper: where the method comes from.
        config_type: the dataclass of its configuration.
        paper_backbone: the architecture that the paper uses, see ``zsad backbones``.
        paper_image_size: side in px of the paper's images; None where it is the default of that backbone.
        uses_class_names: whether results depend on the class names.
        needs_text: whether the method needs a text tower; it is refused on a backbone that only sees.
        foreign: names of the modules whose weights come from elsewhere; they are hashed and never saved.
        detector_options: options that name another detector, by its method or its folder, whose trained tensors
            :func:`zsad.load` puts into the module of the same name. Beside each there is an option ``<name>_options``.
    """

    paper: ClassVar[Paper]
    config_type: ClassVar[type[Config]] = Config
    paper_backbone: ClassVar[str] = "ViT-L-14-336"
    paper_image_size: ClassVar[int | None] = None
    uses_class_names: ClassVar[bool] = True
    needs_text: ClassVar[bool] = True
    foreign: tuple[str, ...] = ("clip",)
    detector_options: ClassVar[tuple[str, ...]] = ()

    def __init__(self, clip: Clip, config: Config) -> None:
        super().__init__()
        if self.needs_text:
            check_text(clip, type(self).__name__)
        self.clip, self.config = clip, config

    @classmethod
    def authors_activation(cls, config: Config) -> Activation | None:
        """The activation that the authors' code ran the paper's backbone under, where that is not the weights' own."""
        return None

    @classmethod
    def authors_position_resize(cls, config: Config) -> PositionResize | None:
        """How the authors' code resized the positions of the paper's backbone, where that is not open_clip's way."""
        return None

    @property
    def fingerprint(self) -> str | None:
        """Content hash of all weights that come from elsewhere; ``None`` while those of the CLIP are trainable."""
        modules = [attrgetter(name)(self) for name in self.foreign if name != "clip"]
        states = [module.state_dict() for module in modules if module is not None]
        if not states or self.clip.fingerprint is None:
            return self.clip.fingerprint
        digest = sha256(self.clip.fingerprint.encode())
        for state in states:
            for name, tensor in state.items():
                digest.update(name.encode() + tensor.detach().cpu().double().numpy().tobytes())
        return digest.hexdigest()

    def current_state(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The tensors that an older version saved, under the names and in the shapes of this one."""
        return dict(tensors)

    @abstractmethod
    def forward(self, images: Float[Tensor, "batch 3 rows cols"], class_names: Sequence[str]) -> Evidence:
        """Evidence of anomaly in normalised images; ``class_names`` says, for each, what it shows."""

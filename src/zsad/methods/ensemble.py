"""Ensemble: several methods on one backbone, from one pass over the image where they do not edit it.

    images -> tower, once for all members that read it unedited -> evidence of each member
    fusion "ranks"      several images: a patch, or an image, has the mean over the members of its ranks among all
                        patches, or images, of the folder; one image alone as "mean"
    fusion "p-values"   the mean over the members of 1 - p among the patches, or scores, of normal images
    fusion "mean"       the mean of the members' probabilities

Means of p-values: Vovk and Wang, "Combining p-values via averaging", Biometrika 2020; the mean of the ranks is the
Borda count. Ranks and p-values bring members of different scales together; a mean of probabilities does not.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Literal, cast

import torch
from jaxtyping import Float
from torch import Tensor, nn

from zsad import methods
from zsad.backbones.clip import Clip
from zsad.config import check_within, from_mapping
from zsad.errors import ConfigError, InputError
from zsad.methods._base import Config, Method, Paper
from zsad.methods._few_shot import FewShot
from zsad.methods._transductive import FolderScores, LoadImages, TransductiveMethod
from zsad.parts.maps import scores_of
from zsad.types import Evidence

MOST_MEMBERS = 16
QUANTILES = 1024
"""Of the normal patches of a member, that are kept."""


@dataclass(frozen=True)
class EnsembleConfig(Config):
    """The members and how their answers become one.

    Attributes:
        members: names of methods, each of which scores an image alone; on one backbone, at one image size.
        settings: the configuration of each member, where it is not that of its paper.
        fusion: "ranks" over the images of a folder; "mean" of the probabilities, also where there are several images;
            "p-values" among normal images, which :meth:`Ensemble.calibrate` has seen.
        normal_images: whose scores are kept, for "p-values".
    """

    members: tuple[str, ...] = ("clip", "clip-ac")
    settings: tuple[dict[str, Any], ...] = ()
    fusion: Literal["ranks", "mean", "p-values"] = "mean"
    normal_images: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        check_within("the number of members", len(self.members), 1, MOST_MEMBERS)
        if self.settings and len(self.settings) != len(self.members):
            found = f"{len(self.settings)} for {len(self.members)} members"
            raise ConfigError("settings are given for each member, or for none", found, "say {} where all is as usual")
        if (self.fusion == "p-values") != (self.normal_images > 0):
            found = f"{self.normal_images} with fusion {self.fusion}"
            raise ConfigError("p-values, and they alone, need normal images", found, "say zsad ensemble --normal DIR")


class Ensemble(TransductiveMethod):
    """Several methods and one pass over the image."""

    paper = Paper(
        title="Combining p-values via averaging",
        authors="V. Vovk, R. Wang",
        venue="Biometrika",
        year=2020,
        url="https://arxiv.org/abs/1212.4966",
    )
    config_type = EnsembleConfig
    normal_scores: Float[Tensor, "members images"]
    normal_patches: Float[Tensor, "members quantiles"]

    def __init__(self, clip: Clip, config: EnsembleConfig | None = None) -> None:
        self.config: EnsembleConfig
        super().__init__(clip, config or EnsembleConfig())
        settings: tuple[dict[str, Any], ...] = self.config.settings or ({},) * len(self.config.members)
        pairs = zip(self.config.members, settings, strict=True)
        self.parts = nn.ModuleList(_member(clip, name, chosen) for name, chosen in pairs)
        elsewhere = [f"parts.{number}.{name}" for number, part in enumerate(self.members) for name in _unsaved(part)]
        self.foreign = ("clip", *elsewhere)  # it depends on the members
        if self.config.fusion == "p-values":
            count = len(self.parts)
            self.register_buffer("normal_scores", torch.zeros(count, self.config.normal_images))
            self.register_buffer("normal_patches", torch.zeros(count, QUANTILES))

    @property
    def members(self) -> list[Method]:
        """The methods, in the order of the configuration."""
        return cast("list[Method]", list(self.parts))

    @property
    def fingerprint(self) -> str | None:
        """That of the backbone, and of what members have besides."""
        found = [self.clip.fingerprint, *(part.fingerprint for part in self.members)]
        if None in found or len({*found}) == 1:
            return found[0] if None not in found else None
        return sha256("".join(map(str, found)).encode()).hexdigest()

    def forward(self, images: Float[Tensor, "batch 3 rows cols"], class_names: Sequence[str]) -> Evidence:
        scores, maps = self.answers(images, class_names)
        if self.config.fusion == "p-values":
            scores = torch.stack([_share_below(*pair) for pair in zip(scores.T, self.normal_scores, strict=True)], 1)
            below = [_share_below(*pair) for pair in zip(maps.unbind(1), self.normal_patches, strict=True)]
            maps = torch.stack(below, 1)
        return Evidence(maps=maps, score=scores.mean(1))

    def answers(
        self, images: Float[Tensor, "batch 3 rows cols"], class_names: Sequence[str]
    ) -> tuple[Float[Tensor, "batch members"], Float[Tensor, "batch members grid_rows grid_cols"]]:
        """Score and map of each member, from one pass for all that do not edit the tower."""
        with self.clip.vision.sharing():
            found = [part(images, class_names) for part in self.members]
        maps = torch.stack([evidence.maps.float().mean(1) for evidence in found], 1)
        scores = [
            scores_of(evidence.score, evidence.maps, part.config.image_score, part.config.map_share)
            for part, evidence in zip(self.members, found, strict=True)
        ]
        return torch.stack(scores, 1).float(), maps

    @torch.inference_mode(False)
    @torch.no_grad()
    def calibrate(self, batches: Iterable[Tensor], class_name: str) -> None:
        """Keep the scores of normal images, and quantiles of those of their patches.

        Args:
            batches: normalised images, ``normal_images`` in all.
            class_name: what they show.

        Raises:
            ConfigError: these are not as many as configured, or the fusion is another.
        """
        answers = [self.answers(images, [class_name] * len(images)) for images in batches]
        count = sum(len(scores) for scores, _ in answers)
        if self.config.fusion != "p-values" or count != self.config.normal_images:
            found = f"{count} with fusion {self.config.fusion}"
            raise ConfigError(f"{self.config.normal_images} normal images calibrate this ensemble", found, "correct it")
        scores, maps = (torch.cat(parts) for parts in zip(*answers, strict=True))
        points = torch.linspace(0, 1, QUANTILES, device=maps.device)
        self.normal_scores.copy_(scores.T.sort(1).values)
        for kept, values in zip(self.normal_patches, maps.transpose(0, 1).flatten(1), strict=True):
            order = values.sort().values
            kept.copy_(order[(points * (len(order) - 1)).round().long()])

    def scores_folder(self, count: int) -> bool:
        """From two images on, where their ranks are compared."""
        return self.config.fusion == "ranks" and count >= 2

    def score_folder(self, load: LoadImages, count: int, class_name: str) -> FolderScores:
        """The mean of the ranks of each image, and of each patch, over the members."""
        indices, scores, maps = list[int](), [], []
        for batch, images in load(range(count)):
            found = self.answers(images, [class_name] * len(images))
            indices += batch
            scores.append(found[0].cpu())
            maps.append(found[1].cpu())
        if not indices:
            return FolderScores.of_none()
        ranked = torch.stack([ranks(one) for one in torch.cat(scores).T], 1)
        patches = torch.cat(maps)
        of_patches = torch.stack([ranks(one.flatten()).view(one.shape) for one in patches.unbind(1)], 1)
        by = ", ".join(self.config.members)
        explanation = f"Each image is scored by its mean rank among the {len(indices):,} images, by {by}."
        return FolderScores(Evidence(of_patches, ranked.mean(1)), indices, explanation)

    def explain(self, count: int) -> str:
        """What judges images one by one."""
        return f"Each image is scored by the mean of {', '.join(self.config.members)}."


def _member(clip: Clip, name: str, settings: Mapping[str, Any]) -> Method:
    """A member on the backbone.

    Raises:
        ConfigError: it does not exist, cannot score an image alone, or a setting does not exist.
    """
    kind = methods.get(name)
    alone = not issubclass(kind, TransductiveMethod) and not (issubclass(kind, FewShot) and kind.needs_normal)
    if not alone:
        rule = "each member of an ensemble scores an image alone, without normal images"
        raise ConfigError(rule, name, "leave it out")
    return kind(clip, from_mapping(kind.config_type, settings, f"the settings of {name}"))


def _unsaved(member: Method) -> list[str]:
    """Children of a member whose tensors come from elsewhere, and its empty banks."""
    return [*member.foreign, *(member.banks() if isinstance(member, FewShot) else ())]


def ranks(values: Float[Tensor, "values"]) -> Float[Tensor, "values"]:
    """The rank of each among all, from 0 to 1; equal values have the mean of their ranks.

    >>> ranks(torch.tensor([0.3, 0.1, 0.3, 0.9]))
    tensor([0.5000, 0.1250, 0.5000, 0.8750])
    """
    if not values.isfinite().all():
        raise InputError("scores that are ranked are finite", "some that are not", "leave that member out")
    order = values.sort().values
    below = torch.searchsorted(order, values.contiguous())
    up_to = torch.searchsorted(order, values.contiguous(), right=True)
    return (below + up_to).double().div(2 * len(values)).to(values.dtype)


def _share_below(values: Float[Tensor, "*shape"], normal: Float[Tensor, "entries"]) -> Float[Tensor, "*shape"]:
    """1 - p: the share of the normal ones below each, the value itself counting as one of them that is not."""
    below = torch.searchsorted(normal.to(values.dtype).contiguous(), values.contiguous())
    return below.to(values.dtype) / (len(normal) + 1)

"""Auto: text and references joined, after MuSc (the zsad authors, 2026).

Text evidence of a zero-shot method, and distances of patches from reference images:

    one image                     text alone
    several unlabelled images     text, and distances from the more ordinary of these images
    normal images remembered      text, and the distance from the nearest normal patch

On a backbone without text, distances alone; a single image then has no score.

Its parts are known: mutual scoring (MuSc, Li et al., ICLR 2024), the nearest patch of a few normal images (PatchCore,
Roth et al., CVPR 2022), rotated references and the mean of the highest scores (AnomalyDINO, Damm et al., WACV 2025).
How they are joined, and on which data that was chosen, is in ``docs/methods/auto.md``.
"""

import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from zsad import methods
from zsad.backbones.clip import Clip
from zsad.config import from_mapping
from zsad.errors import ConfigError, InputError, ZsadWarning
from zsad.methods._base import Method, Paper
from zsad.methods._few_shot import FewShot
from zsad.methods._transductive import FolderScores, LoadImages, TransductiveMethod, scored_alone
from zsad.methods.auto.config import AutoConfig
from zsad.methods.auto.joining import Scale, image_values, joined, probability
from zsad.methods.auto.ordinary import MutualOptions, Statistic, log_distances, mutual, ordinary_images
from zsad.methods.auto.remembered import Remembered
from zsad.methods.clip import ClipDetector
from zsad.parts.maps import LEAST_ODDS
from zsad.passes import forward_passes
from zsad.references import (
    PatchFeatures,
    RandomProjection,
    ReferenceBank,
    has_cnn,
    level_features,
    level_widths,
    patch_features,
    rotations,
    tower_features,
)
from zsad.types import Evidence, Size
from zsad.wording import pluralised

HYBRID_LEVELS, VIT_LEVELS = (6,), (6, 12, 18, 24)
USUAL = Scale(median=-2.6, deviation=0.36)
"""Of log distances of patches, where a single reference cannot tell: the median over the validation sets."""
ANY_CLASS = "object"
WORTH_A_FOLDER = 4
"""Normal images that judge better than an unlabelled folder does: ``docs/methods/auto.md``."""


@dataclass(frozen=True)
class Observation:
    """What is seen of a batch of images.

    Attributes:
        patches: features of the patches.
        text: log-odds of the patches by text; None on a backbone without text.
        evidence: of the text method; None without one.
    """

    patches: PatchFeatures
    text: Float[Tensor, "batch cells"] | None
    evidence: Evidence | None


class Auto(FewShot, TransductiveMethod):
    """Text and references joined."""

    paper = Paper(
        title="text and references joined, after MuSc",
        authors="the zsad authors",
        venue="unpublished",
        year=2026,
        url="https://arxiv.org/abs/2401.16753",
    )
    config_type = AutoConfig
    needs_text = False
    takes_unlabelled = True
    detector_options = ("text",)
    scales: Float[Tensor, "kinds 2"]

    def __init__(self, clip: Clip, config: AutoConfig | None = None) -> None:
        self.config: AutoConfig
        config = config or AutoConfig()
        self.levels = config.levels or (HYBRID_LEVELS if has_cnn(clip.vision, "auto") else VIT_LEVELS)
        widths = level_widths(clip.vision, self.levels, config.features)
        reduced = [width if config.directions is None else min(config.directions, width) for width in widths]
        streams = tuple(width for width in reduced for _ in config.neighbourhoods)
        super().__init__(clip, config, widths=streams)
        self.unlabelled = ReferenceBank(streams)
        self.register_buffer("scales", torch.tensor([[0.0, 1.0], [USUAL.median, USUAL.deviation]]))
        self.projections = nn.ModuleList(
            RandomProjection(width, narrow, number) if narrow < width else nn.Identity()
            for number, (width, narrow) in enumerate(zip(widths, reduced, strict=True))
        )
        self.text = _text_method(clip, config.text, config.text_options) if clip.has_text else None
        if self.text is not None:
            self.foreign = ("clip", *(f"text.{name}" for name in self.text.foreign if name != "clip"))
        self._added: list[tuple[ReferenceBank, int, Tensor | None]] = []

    @property
    def is_few_shot(self) -> bool:
        """Whether images are remembered, normal or unlabelled."""
        return len(self.bank) + len(self.unlabelled) > 0

    def forward(self, images: Float[Tensor, "batch 3 rows cols"], class_names: Sequence[str]) -> Evidence:
        return self.compare(self.observe(images, class_names))

    def observe(self, images: Float[Tensor, "batch 3 rows cols"], class_names: Sequence[str]) -> Observation:
        """What is seen of normalised images, in one pass through the tower; in two where the text method edits it."""
        vision = self.clip.vision
        if isinstance(self.text, ClipDetector):
            tower = tower_features(vision, images, self.levels, self.config.features)
            levels, evidence = tower.levels, self.text.predict_from_trace(tower.trace, class_names)
        else:
            levels = level_features(vision, images, self.levels, self.config.features)
            if self.text is None:
                return Observation(self._features(levels), None, None)
            evidence = self.text(images, class_names)
        patches = self._features(levels)
        maps = evidence.maps.float().mean(1, keepdim=True)
        if maps.shape[-2:] != patches.grid:
            maps = F.interpolate(maps, patches.grid, mode="bilinear", antialias=True)
        return Observation(patches, maps.flatten(1).logit(LEAST_ODDS), evidence)

    def compare(self, observed: Observation) -> Evidence:
        """Evidence from text and from the images that are remembered; from text alone where none are.

        Raises:
            InputError: there is neither.
        """
        if not self.is_few_shot:
            if observed.evidence is None:
                raise self._no_text("an image alone")
            return observed.evidence
        text_scale, scale = (Scale(*values) for values in self.scales.tolist())
        distances = self._remembered.log_distances(observed.patches)
        return self._joined(observed.text, distances, text_scale, scale, observed.patches.grid)

    def reference_features(self, images: Float[Tensor, "batch 3 rows cols"]) -> PatchFeatures:
        """Features of the patches; of rotated references, all copies of the first image come first."""
        copies = rotations(images, self.config.rotations).transpose(0, 1).flatten(0, 1)
        return self._features(level_features(self.clip.vision, copies, self.levels, self.config.features))

    # Banks must serve training as well, which tensors made in inference mode cannot.
    @torch.inference_mode(False)
    @torch.no_grad()
    def fit_normal(self, images: Float[Tensor, "batch 3 rows cols"]) -> None:
        """Add the patches of normal images to their bank."""
        self._remember(images, self.bank)

    @torch.inference_mode(False)
    @torch.no_grad()
    def fit_unlabelled(self, images: Float[Tensor, "batch 3 rows cols"]) -> None:
        """Add the patches of unlabelled images to their bank; :meth:`finish_fit` keeps the ordinary ones."""
        self._remember(images, self.unlabelled)

    @torch.inference_mode(False)
    @torch.no_grad()
    def remember(self, patches: PatchFeatures, text: Float[Tensor, "batch cells"] | None, bank: ReferenceBank) -> None:
        """Add images that were seen before; :meth:`finish_fit` must follow.

        Args:
            patches: of all copies of each image.
            text: log-odds of the patches of each image; None on a backbone without text.
            bank: ``bank`` or ``unlabelled`` of this method.
        """
        bank.add(patches, self.config.rotations)
        count = len(patches) // self.config.rotations
        # What a failed fit left belongs to a bank that was replaced since.
        self._added = [*(added for added in self._added if added[0] is bank), (bank, count, text)]

    @torch.inference_mode(False)
    @torch.no_grad()
    def finish_fit(self) -> None:
        """Keep the ordinary ones of unlabelled images, and measure how both kinds of evidence spread over patches."""
        (bank, *_), counts, texts = zip(*self._added, strict=True)
        self._added, text, count = [], _concatenated(texts), sum(counts)
        added = range(bank.images - count, bank.images)
        before = self.bank.images + self.unlabelled.images - count
        if bank is self.unlabelled and count > 1:
            drawn = self._drawn(count)
            numbers, text = [added[index] for index in drawn], None if text is None else text[drawn]
            fresh = bank.without({*range(bank.images)} - {*numbers})
            found = ordinary_images(fresh, numbers, text, self._mutual_options)
            self._warn_of_unlike(found.scale)
            dropped = torch.tensor(sorted({*added} - {*numbers} | {*found.dropped})).to(bank.image)
            bank.keep(torch.isin(bank.image, dropped, invert=True).nonzero().flatten())
            scale = self._remembered.scale() if before else found.scale
        else:
            scale = self._remembered.scale() if before + count > 1 else USUAL
        text_scale = Scale.of_text(text).mean_with(Scale(*self.scales[0].tolist()), count, before)
        values = [[each.median, each.deviation] for each in (text_scale, scale)]
        self.scales = torch.tensor(values, device=self.scales.device)

    def forget_normal(self) -> None:
        """Empty both banks."""
        super().forget_normal()
        self._added = []

    def scores_folder(self, count: int) -> bool:
        """From two images on, where none is remembered."""
        return count >= 2 and not self.is_few_shot

    def score_folder(self, load: LoadImages, count: int, class_name: str) -> FolderScores:
        """Text joined with distances from the more ordinary images; text alone where they are not of one kind.

        Raises:
            InputError: on a backbone without text, fewer than two images can be read.
        """
        drawn = self._drawn(count)
        bank = ReferenceBank(self.bank.widths).to(self.scales.device)
        indices, seen = list[int](), list[Observation]()
        is_rotated, device = self.config.rotations > 1, self.scales.device.type

        def look(batch: tuple[list[int], Tensor]) -> tuple[list[int], Observation, PatchFeatures]:
            observed = self.observe(batch[1], [class_name] * len(batch[1]))
            return batch[0], observed, self.reference_features(batch[1]) if is_rotated else observed.patches

        for batch, observed, references in forward_passes(look, load(drawn), device):
            bank.add(references, self.config.rotations)
            indices += batch
            seen.append(observed)
        rest = sorted({*range(count)} - {*indices}) if len(drawn) < count else []
        if bank.images < 2:
            return self._by_text(indices, seen, load, rest, class_name, "fewer than two images could be compared")
        text = _concatenated([observed.text for observed in seen])
        found = ordinary_images(bank, range(bank.images), text, self._mutual_options)
        is_unlike = found.scale.median > math.log(self.config.unlike)
        if is_unlike and self.text is not None:
            reason = "the images have too little in common to judge one another"
            return self._by_text(indices, seen, load, rest, class_name, reason)
        grid, scales = seen[0].patches.grid, (found.text_scale, found.scale)
        parts = [self._joined(text, found.log_distances, *scales, grid)]

        def judge(batch: tuple[list[int], Tensor]) -> tuple[list[int], Evidence]:
            observed = self.observe(batch[1], [class_name] * len(batch[1]))
            distances = log_distances(observed.patches, found.bank, self._mutual, self.config.window)
            return batch[0], self._joined(observed.text, distances, *scales, grid)

        for batch, evidence in forward_passes(judge, load(rest), device):
            parts.append(evidence)
            indices += batch
        kept = bank.images - len(found.dropped)
        explanation = (
            f"Each image was compared with the {kept} most ordinary of {bank.images} images of "
            f"this folder{self._by_what}; nothing is known of which are normal."
        )
        if is_unlike:
            explanation += f" They have too little in common for this, and {self.clip.name} has no text to judge by."
        return FolderScores(_together(parts), indices, explanation)

    def explain(self, count: int) -> str:
        """What judges images one by one."""
        if not self.is_few_shot:
            return (
                f"Scored by text alone ({self.config.text}): there is nothing to compare a single image with. Several "
                "images of one kind, or known-good ones (--normal DIR), make a better detector."
            )
        counts = [
            pluralised(len(bank.image.unique()), f"{kind} image")
            for bank, kind in ((self.bank, "normal"), (self.unlabelled, "unlabelled"))
            if len(bank)
        ]
        told = f"Each image was compared with {' and '.join(counts)}{self._by_what}."
        if count > 1 and not len(self.unlabelled) and len(self.bank.image.unique()) < WORTH_A_FOLDER:
            told += " A folder of many images of one kind judges itself about as well as so few normal ones do."
        return told

    @property
    def _by_what(self) -> str:
        by_text = f", and scored by text ({self.config.text})"
        return by_text if self.text is not None else f"; {self.clip.name} has no text tower"

    def _no_text(self, found: str) -> InputError:
        rule = f"an image is judged by other images, or by text, which {self.clip.name} has none of"
        remedy = "name normal images (--normal DIR), give more images of one kind, or use a CLIP as the backbone"
        return InputError(rule, found, remedy)

    def _drawn(self, count: int) -> list[int]:
        """Which of so many unlabelled images serve as references."""
        drawn = torch.randperm(count, generator=torch.Generator().manual_seed(0))[: self.config.max_references]
        return sorted(drawn.tolist())

    @property
    def _mutual(self) -> Statistic:
        return mutual(self._mutual_options.share_of_kept)

    @property
    def _mutual_options(self) -> MutualOptions:
        config = self.config
        return MutualOptions(config.ordinary, config.share, config.text_weight, config.image_shares, config.window)

    def _features(self, levels: Sequence[Float[Tensor, "batch _ rows cols"]]) -> PatchFeatures:
        return patch_features(levels, self.config.neighbourhoods, projections=list(self.projections))

    def _remember(self, images: Float[Tensor, "batch 3 rows cols"], bank: ReferenceBank) -> None:
        observed = self.observe(images, [ANY_CLASS] * len(images))
        is_rotated = self.config.rotations > 1
        self.remember(self.reference_features(images) if is_rotated else observed.patches, observed.text, bank)

    @property
    def _remembered(self) -> Remembered:
        return Remembered(self.bank, self.unlabelled, self._mutual, self.config.window)

    def _warn_of_unlike(self, scale: Scale) -> None:
        if scale.median > math.log(self.config.unlike):
            warnings.warn(
                "The unlabelled images have too little in common to judge others by: references are of one kind. "
                "Remember images of one kind, or known-good ones.",
                ZsadWarning,
                stacklevel=2,
            )

    def _joined(
        self,
        text: Float[Tensor, "batch cells"] | None,
        distances: Float[Tensor, "batch cells"],
        text_scale: Scale,
        scale: Scale,
        grid: Size,
    ) -> Evidence:
        values = joined(text, distances, text_scale, scale, self.config.text_weight)
        score = probability(image_values(values, self.config.image_shares))
        return Evidence(maps=probability(values).unflatten(1, (1, *grid)), score=score)

    def _by_text(
        self,
        indices: list[int],
        seen: Sequence[Observation],
        load: LoadImages,
        rest: Sequence[int],
        class_name: str,
        reason: str,
    ) -> FolderScores:
        """All images by text alone, and why."""
        if self.text is None:
            if indices or rest:
                raise self._no_text(reason)
            return FolderScores.of_none()
        explanation = f"Scored by text alone ({self.config.text}): {reason}. Add known-good images (--normal DIR)."
        others = scored_alone(self.text, load, rest, class_name, explanation)
        parts = [observed.evidence for observed in seen if observed.evidence is not None]
        if not parts:
            return others
        if others.indices:
            parts.append(others.evidence)
        return FolderScores(_together(parts), [*indices, *others.indices], explanation, by_one_another=False)


def _concatenated(texts: Sequence[Tensor | None]) -> Tensor | None:
    found = [text for text in texts if text is not None]
    return torch.cat(found) if found else None


def _together(parts: Sequence[Evidence]) -> Evidence:
    return Evidence(torch.cat([part.maps.cpu() for part in parts]), torch.cat([part.score.cpu() for part in parts]))


def _text_method(clip: Clip, name: str, options: Mapping[str, Any]) -> Method:
    """The method of that name, frozen; it shares the CLIP, which is saved and moved once."""
    method_type = methods.get(name)
    needs_others = issubclass(method_type, TransductiveMethod) or (
        issubclass(method_type, FewShot) and method_type.needs_normal
    )
    if needs_others:
        raise ConfigError("the text method needs no other images", name, "say clip-ac, winclip or fe-clip")
    method = method_type(clip, from_mapping(method_type.config_type, options, f"the options of {name}"))
    del method.clip
    object.__setattr__(method, "clip", clip)
    return method.requires_grad_(False)

"""How PromptAD learns its prompts from the features of normal images: three losses, and the code's optimisation."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from zsad.backbones.clip import Clip
from zsad.backbones.transformer import l2_normalize
from zsad.methods.promptad.prompts import PromptFeatures, StatePrompts

LEAST_RATE = 1e-5
"""At the end of the cosine schedule (code)."""
BATCH = 400
"""Images of a step, at most (code)."""


@dataclass(frozen=True)
class Optimisation:
    """Stochastic gradient descent with a cosine schedule, one step of it for each batch and epoch."""

    epochs: int
    learning_rate: float
    momentum: float
    weight_decay: float


@dataclass(frozen=True)
class LossOptions:
    """How the losses are computed.

    Attributes:
        scale: that multiplies cosines.
        margin: of the explicit anomaly margin.
        align_weight: lambda of the alignment.
        is_margin_by_channel: whether distances of patches are sums over the patches of an image, for each channel.
    """

    scale: float
    margin: float
    align_weight: float
    is_margin_by_channel: bool


def learn(
    clip: Clip,
    prompts: StatePrompts,
    features: Float[Tensor, "images *cells embed"],
    optimisation: Optimisation,
    options: LossOptions,
) -> Iterator[float]:
    """Learn the vectors; gives the loss of each step, which is taken as the next one is asked for.

    Args:
        clip: frozen.
        prompts: whose vectors are changed.
        features: unit vectors of normal images: class tokens, or patches.
        optimisation, options: constants.
    """
    optimiser = torch.optim.SGD(
        prompts.parameters(),
        lr=optimisation.learning_rate,
        momentum=optimisation.momentum,
        weight_decay=optimisation.weight_decay,
    )
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, optimisation.epochs, LEAST_RATE)
    for _ in range(optimisation.epochs):
        for batch in features.split(BATCH):
            with torch.enable_grad():
                loss = sum(losses(prompts(clip), batch, options).values(), start=features.new_zeros(()))
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            yield float(loss.detach())
        schedule.step()


def losses(
    prompts: PromptFeatures, features: Float[Tensor, "images *cells embed"], options: LossOptions
) -> dict[str, Float[Tensor, ""]]:
    """The contrastive loss, the explicit anomaly margin and the alignment (section 4.2).

    Args:
        prompts: not normalised.
        features: unit vectors of normal images.
        options: constants.
    """
    normal, anomalous = prototypes(prompts)
    logits = options.scale * features @ torch.cat([normal[None], l2_normalize(prompts.anomalous)]).T
    rows = logits.flatten(0, -2)
    apart = (features - normal).square() - (features - anomalous).square()
    axis = 1 if options.is_margin_by_channel else -1
    gap = l2_normalize(prompts.manual).mean(0) - l2_normalize(prompts.learned).mean(0)
    return {
        "contrast": F.cross_entropy(rows, torch.zeros(len(rows), dtype=torch.long, device=rows.device)),
        "margin": (apart.sum(axis) + options.margin).relu().mean(),
        "align": options.align_weight * gap.square().sum(),
    }


def prototypes(prompts: PromptFeatures) -> Float[Tensor, "2 embed"]:
    """The normal and the anomalous state: means of features that are not normalised (code), of unit length."""
    return l2_normalize(torch.stack([prompts.normal.mean(0), prompts.anomalous.mean(0)]))

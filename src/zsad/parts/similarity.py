"""From features to probabilities: cosine similarity with the two states, one softmax."""

from collections.abc import Callable, Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from zsad.backbones.clip import Clip
from zsad.backbones.transformer import l2_normalize
from zsad.errors import InputError
from zsad.parts.prompts import fit_prompts

MIN_NORM = 1e-12
"""Minimum norm of a feature in a division, as in PyTorch's ``normalize``."""


def state_features(prompts: Float[Tensor, "states prompts embed"]) -> Float[Tensor, "states embed"]:
    """One unit vector per state: the mean of its prompts' unit vectors (CLIP's prompt ensemble)."""
    return l2_normalize(l2_normalize(prompts.float()).mean(1))


def class_states(
    clip: Clip,
    class_names: Sequence[str],
    images: int,
    prompts: Callable[[str], tuple[Sequence[str], Sequence[str]]],
    templates: int = 1,
) -> Float[Tensor, "batch 2 embed"]:
    """Unit vectors of the normal and the anomalous state of what each image shows; a class is encoded once.

    Args:
        clip: the backbone whose text tower reads the prompts.
        class_names: of each image.
        images: their number.
        prompts: the normal and the anomalous prompts of a class.
        templates: the number of templates of every wording of a state, see
            :func:`zsad.parts.prompts.fit_prompts`.

    Raises:
        InputError: there is not one class name for each image.
    """
    if len(class_names) != images:
        raise InputError("every image has one class name", f"{len(class_names)} for {images}", "give one for each")
    normal, anomalous = (tuple(state) for state in prompts("{}"))
    texts = {
        name: fit_prompts(clip.tokenizer, name, (normal, anomalous), templates) for name in dict.fromkeys(class_names)
    }
    states = {
        name: torch.cat([state_features(clip.encode_prompts(state)[None]) for state in prompts_by_state])
        for name, prompts_by_state in texts.items()
    }
    return torch.stack([states[name] for name in class_names])


def anomaly_probability(
    features: Float[Tensor, "batch *cells embed"], states: Float[Tensor, "batch 2 embed"], temperature: float
) -> Float[Tensor, "batch *cells"]:
    """P(anomalous) = softmax over (normal, anomalous) of cosine / temperature, for every feature of an image.

    With two states that is the logistic function of :func:`log_odds`, whose arguments it takes.
    """
    return log_odds(features, states, temperature).sigmoid()


def log_odds(
    features: Float[Tensor, "batch *cells embed"], states: Float[Tensor, "batch 2 embed"], temperature: float
) -> Float[Tensor, "batch *cells"]:
    """(cosine with the anomalous state - cosine with the normal one) / temperature.

    Args:
        features: of any length, in the joint space.
        states: unit vectors of each image's normal and anomalous state.
        temperature: τ; CLIP was trained at 0.01, zero-shot anomaly detection uses 0.07.
    """
    difference = (states[:, 1] - states[:, 0]).float()[:, :, None]
    cells = features.float().flatten(1, -2) if features.ndim > 2 else features.float()[:, None]
    # Norms divide at the end, so that features are not copied.
    aligned = (cells @ difference)[..., 0] / cells.norm(dim=-1).clamp_min(MIN_NORM)
    return (aligned / temperature).reshape(features.shape[:-1])

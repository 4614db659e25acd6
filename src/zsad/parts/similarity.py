"""From features to probabilities: cosine similarity with the two states, one softmax."""

from jaxtyping import Float
from torch import Tensor

from zsad.backbones.transformer import unit


def state_features(prompts: Float[Tensor, "states prompts embed"]) -> Float[Tensor, "states embed"]:
    """One unit vector a state: the mean of its prompts' unit vectors (prompt ensemble of CLIP, section 3.1.4)."""
    return unit(unit(prompts).mean(1))


def anomaly_probability(
    features: Float[Tensor, "batch *cells embed"], states: Float[Tensor, "batch 2 embed"], temperature: float
) -> Float[Tensor, "batch *cells"]:
    """P(anomalous) = softmax over (normal, anomalous) of cosine / temperature, for every feature of an image.

    Args:
        features: of any length, in the joint space.
        states: unit vectors of each image's normal and anomalous state.
        temperature: τ; CLIP was trained at 0.01, zero-shot anomaly detection uses 0.07.
    """
    between = (len(states), *[1] * (features.ndim - 2), states.shape[-1])
    difference = (states[:, 1] - states[:, 0]).reshape(between)
    # With two states the softmax is the logistic function of the difference.
    return ((unit(features) * difference).sum(-1).float() / temperature).sigmoid()

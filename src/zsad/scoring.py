"""From evidence to anomaly maps: fuse the levels, upsample, smooth; the same for every method and every command."""

from jaxtyping import Float
from torch import Tensor

from zsad.methods._base import Config
from zsad.parts.maps import evidence_maps
from zsad.types import Evidence, Size


def anomaly_maps(evidence: Evidence, size: Size, config: Config) -> Float[Tensor, "batch rows cols"]:
    """The levels fused into one map, upsampled to ``size`` and smoothed as configured; fp32 on the CPU, in [0, 1].

    Levels with log-odds are upsampled as such, the others as probabilities.
    """
    logits = None if evidence.logits is None else evidence.logits.float().cpu()
    return evidence_maps(evidence.maps.float().cpu(), logits, size, **config.upsampling)

"""Evidence to anomaly maps: fuse the levels, enlarge, smooth. One place for every method, in use and in evaluation."""

from jaxtyping import Float
from torch import Tensor

from zsad.methods._base import Config
from zsad.parts.maps import pixel_maps
from zsad.types import Evidence, Size


def anomaly_maps(evidence: Evidence, size: Size, config: Config) -> Float[Tensor, "batch rows cols"]:
    """The levels as one map, enlarged to ``size`` and smoothed as the method says; fp32 on the CPU, in [0, 1].

    Of evidence with log-odds these are enlarged, and not the probabilities.
    """
    logits = evidence.logits is not None
    levels = evidence.maps if evidence.logits is None else evidence.logits
    return pixel_maps(levels.float().cpu(), size, **config.upsampling, logits=logits)

"""Evidence to anomaly maps: fuse the levels, enlarge, smooth. One place for every method, in use and in evaluation."""

from jaxtyping import Float
from torch import Tensor

from zsad.parts.maps import resize, smooth
from zsad.types import Evidence, Size


def anomaly_maps(evidence: Evidence, size: Size, sigma: float) -> Float[Tensor, "batch rows cols"]:
    """Mean over levels, enlarged bilinearly to ``size`` and smoothed with ``sigma`` px; fp32 on the CPU, in [0, 1]."""
    return smooth(resize(evidence.maps.float().mean(1).cpu(), size), sigma)

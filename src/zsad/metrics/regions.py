"""The anomalous regions of a mask."""

import numpy as np
from jaxtyping import Bool, Float, Int


def region_shares(
    mask: Bool[np.ndarray, "rows cols"],
) -> tuple[Int[np.ndarray, "anomalous"], Float[np.ndarray, "anomalous"], int]:
    """The anomalous pixels, the share of its region that each of them is (1 / area), and the number of regions.

    Pixels that touch at a side or a corner belong to one region, as in the published evaluations
    (``skimage.measure.label`` by default). Pixels are indices into the flattened mask.
    """
    pixels = np.flatnonzero(mask)
    if not len(pixels):
        return pixels, np.zeros(0), 0
    # Here, so that importing the package stays quick.
    from scipy.ndimage import label

    labels, regions = label(mask, np.ones((3, 3), bool))
    region = labels.ravel()[pixels] - 1
    return pixels, 1 / np.bincount(region)[region], int(regions)

"""Reference images: features of their patches, a bank that knows its images, and statistics over the bank.

    images -> patch features -> bank -> distance of each patch from its references -> anomaly map

One machinery for few-shot memories (the nearest entry of all), mutual scoring of unlabelled images (the mean of the
lowest share of the distances from each image) and nearest neighbours at the same position of aligned parts.
"""

from zsad.references.bank import ReferenceBank
from zsad.references.coreset import greedy_coreset
from zsad.references.features import PatchFeatures, RandomProjection, neighbourhood_average, patch_features, rotations
from zsad.references.mutual import mutual_scores
from zsad.references.statistics import (
    distances_among,
    distances_by_image,
    lowest_share_mean,
    nearest_cosine,
    nearest_distance,
    nearest_entries,
    similarity_smoothed_scores,
)
from zsad.references.towers import FeatureSource, TowerFeatures, has_cnn, level_features, level_widths, tower_features

__all__ = [
    "FeatureSource",
    "PatchFeatures",
    "RandomProjection",
    "ReferenceBank",
    "TowerFeatures",
    "distances_among",
    "distances_by_image",
    "greedy_coreset",
    "has_cnn",
    "level_features",
    "level_widths",
    "lowest_share_mean",
    "mutual_scores",
    "nearest_cosine",
    "nearest_distance",
    "nearest_entries",
    "neighbourhood_average",
    "patch_features",
    "rotations",
    "similarity_smoothed_scores",
    "tower_features",
]

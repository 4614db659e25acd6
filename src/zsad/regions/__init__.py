"""Anomalous regions: connected parts of an anomaly map above a threshold, with box, outline, area and score.

anomaly map -> pixels at or above the threshold -> connected components -> exact outlines -> simplified polygons
"""

from zsad.regions.finding import Region, find_regions

__all__ = ["Region", "find_regions"]

"""Masks: from files to the ground truth per pixel (``ground_truth``)."""

from zsad.data.masks.ground_truth import read_ground_truth, read_mask, resize_mask

__all__ = ["read_ground_truth", "read_mask", "resize_mask"]

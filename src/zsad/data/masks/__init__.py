"""Masks: from files to the ground truth per pixel (``ground_truth``)."""

"""Detectors by data sets by seeds: trained, evaluated, and set beside the numbers that the papers print."""

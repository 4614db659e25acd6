"""Metrics of detection, exact."""

from zsad.metrics.auroc import auroc, bootstrap_interval

__all__ = ["auroc", "bootstrap_interval"]

"""AnomalyCLIP: the method, and modules that only it uses."""

from zsad.methods.anomalyclip.method import AnomalyClip, AnomalyClipConfig

__all__ = ["AnomalyClip", "AnomalyClipConfig"]

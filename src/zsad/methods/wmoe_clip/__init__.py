"""WMoE-CLIP: the method, and the modules that only it has."""

from zsad.methods.wmoe_clip.method import WMoEClip, WMoEClipConfig

__all__ = ["WMoEClip", "WMoEClipConfig"]

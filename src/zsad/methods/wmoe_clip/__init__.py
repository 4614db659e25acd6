"""WMoE-CLIP: the method, and modules that only it uses."""

from zsad.methods.wmoe_clip.method import WMoEClip, WMoEClipConfig

__all__ = ["WMoEClip", "WMoEClipConfig"]

"""AFR-CLIP: the method, and the modules that only it has."""

from zsad.methods.afr_clip.method import AfrClip, AfrClipConfig

__all__ = ["AfrClip", "AfrClipConfig"]

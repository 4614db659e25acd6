"""AFR-CLIP: the method, and modules that only it uses."""

from zsad.methods.afr_clip.method import AfrClip, AfrClipConfig

__all__ = ["AfrClip", "AfrClipConfig"]

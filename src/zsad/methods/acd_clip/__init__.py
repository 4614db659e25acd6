"""ACD-CLIP: the method, and the modules that only it has."""

from zsad.methods.acd_clip.method import AcdClip, AcdClipConfig

__all__ = ["AcdClip", "AcdClipConfig"]

"""ACD-CLIP: the method, and modules that only it uses."""

from zsad.methods.acd_clip.method import AcdClip, AcdClipConfig

__all__ = ["AcdClip", "AcdClipConfig"]

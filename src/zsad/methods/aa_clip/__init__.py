"""AA-CLIP: the method, and modules that only it uses."""

from zsad.methods.aa_clip.method import AaClip, AaClipConfig

__all__ = ["AaClip", "AaClipConfig"]

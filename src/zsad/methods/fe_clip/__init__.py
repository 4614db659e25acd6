"""FE-CLIP: the method, and the modules that only it has."""

from zsad.methods.fe_clip.method import FeClip, FeClipConfig

__all__ = ["FeClip", "FeClipConfig"]

"""FE-CLIP: the method, and modules that only it uses."""

from zsad.methods.fe_clip.method import FeClip, FeClipConfig

__all__ = ["FeClip", "FeClipConfig"]

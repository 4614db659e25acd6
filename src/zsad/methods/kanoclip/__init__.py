"""KAnoCLIP: the method, and the modules that only it has."""

from zsad.methods.kanoclip.method import KanoClip, KanoClipConfig

__all__ = ["KanoClip", "KanoClipConfig"]

"""KAnoCLIP: the method, and modules that only it uses."""

from zsad.methods.kanoclip.method import KanoClip, KanoClipConfig

__all__ = ["KanoClip", "KanoClipConfig"]

"""AdaCLIP: the method, and modules that only it uses."""

from zsad.methods.adaclip.method import AdaClip, AdaClipConfig

__all__ = ["AdaClip", "AdaClipConfig"]

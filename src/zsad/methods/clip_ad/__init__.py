"""CLIP-AD: the method, and modules that only it uses."""

from zsad.methods.clip_ad.method import ClipAd, ClipAdConfig

__all__ = ["ClipAd", "ClipAdConfig"]

"""VCP-CLIP: the method, and modules that only it uses."""

from zsad.methods.vcp_clip.method import VcpClip, VcpClipConfig

__all__ = ["VcpClip", "VcpClipConfig"]

"""InCTRL: residuals between an image and a few normal ones, judged by heads that auxiliary data trained."""

from zsad.methods.inctrl.method import InCtrl, InCtrlConfig

__all__ = ["InCtrl", "InCtrlConfig"]

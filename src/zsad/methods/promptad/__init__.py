"""PromptAD: prompts learnt from normal images alone, next to a memory of their patches."""

from zsad.methods.promptad.method import PromptAd

__all__ = ["PromptAd"]

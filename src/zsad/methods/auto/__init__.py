"""Text and references joined: what ``zsad predict`` runs where no detector is named."""

from zsad.methods.auto.method import Auto

__all__ = ["Auto"]

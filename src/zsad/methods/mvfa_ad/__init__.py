"""MVFA-AD, see :mod:`zsad.methods.mvfa_ad.method`."""

from zsad.methods.mvfa_ad.method import MvfaAd, MvfaAdConfig

__all__ = ["MvfaAd", "MvfaAdConfig"]

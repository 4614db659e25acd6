"""Figures of what detectors see: images, truth and maps side by side, as in the papers.

Import from the modules; this file imports nothing, so that the command line stays quick.
"""

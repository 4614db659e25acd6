"""Intervals, means over classes, and paired comparison of evaluations.

Import from the modules; this file imports nothing, so that the command line stays quick.
"""

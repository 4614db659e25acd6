"""Images and anomaly maps as drawings: the colour scale, overlays, outlines of regions, files of maps.

Import from the modules; this file imports nothing, so that the command line stays quick.
"""

"""Runs a detector over labelled data by one protocol.

Import from the modules; this file imports nothing, so that the command line stays quick.
"""

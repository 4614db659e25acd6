"""Every page, table and drawing that is made of results.

Import from the modules; this file imports nothing, so that the command line stays quick.
"""

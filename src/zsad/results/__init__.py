"""What evaluations and benchmarks leave on disk: schema and store.

Import from the modules; this file imports nothing, so that the command line stays quick.
"""

"""Untrusted tensor files, read as data: nothing in them is looked up, imported or called."""

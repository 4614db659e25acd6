"""Deliberate faults in the code, one at a time: would the tests notice?"""

"""Ingredients that two or more methods share."""

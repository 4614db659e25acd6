"""A service under load, under malformed requests, and beside ``predict``."""

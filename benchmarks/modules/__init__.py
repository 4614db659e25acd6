"""What each module of a method changes when it is taken out of a trained detector: ``python -m benchmarks.modules``."""

"""What ``zsad predict MANIFEST --engine`` promises: ``python -m benchmarks.cluster``."""

"""Measurements that are too slow or too noisy for a test; run as python -m benchmarks.NAME."""

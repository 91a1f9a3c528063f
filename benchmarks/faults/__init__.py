"""Damage done for real, at length; run as python -m benchmarks.faults. tests/faults holds the short versions."""


class Broken(AssertionError):  # noqa: N818 - what happened
    """A check failed: the program did not meet the damage as it should."""

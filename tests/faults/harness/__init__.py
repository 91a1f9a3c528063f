"""Damage done for real, for the tests of this folder."""


class Broken(AssertionError):  # noqa: N818 - what happened
    """A check failed: the program did not meet the damage as it should."""

"""Tools that do real damage, for the tests of tests/faults."""


class Broken(AssertionError):  # noqa: N818 - it says what happened
    """The program did not handle the damage as it should."""

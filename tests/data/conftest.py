"""Invented sentences for the tests of corpora."""

from __future__ import annotations

import pytest

NOUNS = ("gardener", "pilot", "nurse", "miller")
VERBS = ("greets", "paints", "follows")
THINGS = ("lantern", "kite", "barrel", "violin", "parrot")


@pytest.fixture(scope="session")
def sentences() -> list[str]:
    """60 different sentences of 5 words over 14 words, each word several times."""
    return [f"the {noun} {verb} the {thing}" for noun in NOUNS for verb in VERBS for thing in THINGS]

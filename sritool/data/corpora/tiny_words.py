"""The words of the bundled corpus's grammar, read from ``tiny_words.toml``."""

from __future__ import annotations

import tomllib
from importlib.resources import files
from typing import NamedTuple

from pydantic import TypeAdapter

Choice = dict[str, tuple[str, ...]]
"""Words by sentiment or by tense."""


class Topic(NamedTuple):
    """A scene: subjects, actions (forms of a verb and its possible complements), and places."""

    subjects: tuple[str, ...]
    actions: tuple[tuple[str, tuple[str, ...]], ...]
    places: tuple[str, ...]


class Venue(NamedTuple):
    """Something to review: its parts with their qualities, and the people who work there."""

    items: dict[str, Choice]
    staff: tuple[str, ...]
    manners: Choice
    services: tuple[str, ...]
    uncountable: tuple[str, ...] = ()


class Words(NamedTuple):
    """All words of the grammar."""

    plurals: dict[str, str]
    moods: Choice
    adverbs: Choice
    scenes: Choice
    times: Choice
    openers: Choice
    endings: Choice
    verdicts: dict[str, tuple[tuple[str, str], ...]]
    topics: dict[str, Topic]
    venues: dict[str, Venue]


WORDS = TypeAdapter(Words).validate_python(
    tomllib.loads(files(__package__).joinpath("tiny_words.toml").read_text(encoding="utf-8"))
)

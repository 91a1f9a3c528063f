"""What tables and JSON lines have in common: which key holds what, and labels that can be labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sritool.errors import DataError

TEXT_KEYS = ("text", "sentence", "review", "caption", "content")
LABEL_KEYS = ("label", "sentiment", "class")
LONGEST_LABEL = 200  # characters; more is text where a label should be


@dataclass(frozen=True)
class Columns:
    """Where a table or JSON object keeps its text and label; None: the usual names."""

    text: str | None = None
    label: str | None = None


def key_of(keys: Sequence[str], given: str | None, usual: Sequence[str]) -> str | None:
    """The key that was given, or else the first usual one, if it is among ``keys``."""
    return next((key for key in ([given] if given else usual) if key in keys), None)


def lines_of(text: str) -> list[str]:
    """Lines without their ends; a last one without an end counts too."""
    lines = text.split("\n")
    if not lines[-1]:
        lines.pop()
    return lines


def checked_label(label: str, where: str, place: str) -> str:
    """The label itself. Raises: DataError if it is too long for one."""
    if len(label) > LONGEST_LABEL:
        raise DataError(
            f"{where} {place} has a label of {len(label):,} characters; a label comes first, then the text "
            "(plain sentences: --input-format text)"
        )
    return label


def some_of(names: Sequence[str]) -> str:
    """Some names for an error, which is one line that any terminal shows."""
    shown = ", ".join(name[:40] for name in names[:12]) + (", …" if len(names) > 12 else "")
    return "".join(character if character.isprintable() else "?" for character in shown) or "none"

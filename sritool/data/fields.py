"""Where tables and JSON objects keep text and label, and what a label may be."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sritool.data.sentences import Chunk
from sritool.errors import DataError

TEXT_NAMES = ("text", "sentence", "review", "caption", "content")
LABEL_NAMES = ("label", "sentiment", "class")
LONGEST_LABEL = 200  # characters; more is text where a label should be


@dataclass(frozen=True)
class FieldNames:
    """The column or key of a table or JSON object that holds the text, and the label; None: the usual names."""

    text: str | None = None
    label: str | None = None

    @property
    def of_text(self) -> Sequence[str]:
        """Names under which the text may be."""
        return [self.text] if self.text else TEXT_NAMES

    @property
    def of_label(self) -> Sequence[str]:
        """Names under which the label may be."""
        return [self.label] if self.label else LABEL_NAMES


def find_fields(there: Sequence[str], where: str, names: FieldNames) -> tuple[str, str | None]:
    """Return which of the names that are there is the text's, and which the label's, if any.

    Args:
        there: Columns or keys.
        where: What errors call the file or its line.
        names: The names to look for.

    Raises:
        DataError: A name that was given is not there, or no usual name of the text.
    """
    text = next((name for name in names.of_text if name in there), None)
    if text is None:
        raise DataError(f"{where} has no text among its keys ({_some_of(there)}); name it: --text-key")
    label = next((name for name in names.of_label if name in there), None)
    if names.label and label is None:
        raise DataError(f"{where} has no column {names.label!r}; it has {_some_of(there)}")
    return text, label


def checked_label(cell: str, needed: bool, place: str, advice: str) -> str:
    """Return a label without white space around it.

    Args:
        cell: What stands in its place.
        needed: Whether there has to be one.
        place: What errors call its row or line.
        advice: What to do where there is none.

    Raises:
        DataError: It is missing, or longer than a label.
    """
    label = cell.strip()
    if needed and not label:
        raise DataError(f"{place} has no label; {advice}")
    if len(label) > LONGEST_LABEL:
        raise DataError(
            f"{place} has a label of {len(label):,} characters; a label comes first, then the text "
            "(plain sentences: --input-format text)"
        )
    return label


def chunk_of(texts: Sequence[str], labels: Sequence[str] | None) -> Chunk:
    """Return sentences in memory as a chunk; `labels` as in `Chunk`, see `sentences`."""
    import pyarrow as pa

    return Chunk(pa.array(texts, pa.string()), labels)


def _some_of(names: Sequence[str]) -> str:
    """Return some names for an error, which is one line that any terminal shows."""
    shown = ", ".join(name[:40] for name in names[:12]) + (", …" if len(names) > 12 else "")
    return "".join(character if character.isprintable() else "?" for character in shown) or "none"

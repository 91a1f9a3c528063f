"""Any data set of the Hugging Face hub as text, by its address: fetched whole, or streamed and kept nowhere.

hf://OWNER/NAME[@REVISION][/CONFIGURATION]
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sritool.data.corpora.hub import quietly, reason_of
from sritool.data.csv_parquet import ROWS, chunks_of_rows
from sritool.data.fields import FieldNames, fields_taken, find_fields
from sritool.data.normalise import rewritten_notes, unescaped
from sritool.data.options import PrepareOptions
from sritool.data.sentences import Chunk, CorpusText, Cut
from sritool.data.sources import FileOptions, Source, cut_notes
from sritool.data.split_names import SPLIT_WORDS
from sritool.errors import DataError, SritoolError, UsageError

SCHEME = "hf://"
_ADDRESS = re.compile(
    r"hf://(?:datasets/)?(?P<id>[\w.-]+/(?P<name>[\w.-]+))(?:@(?P<revision>[^/\s]+))?(?:/(?P<config>[^/\s]+))?/?"
)


@dataclass(frozen=True)
class HubAddress:
    """Which data set: its id, its own name, a revision and a configuration."""

    hub_id: str
    name: str
    revision: str | None = None
    config: str | None = None

    @classmethod
    def of(cls, address: str) -> HubAddress:
        """Parse an address.

        Raises:
            UsageError: It is none.
        """
        found = _ADDRESS.fullmatch(address)
        if found is None:
            raise UsageError(
                f"{address} is no data set; give hf://OWNER/NAME, or hf://OWNER/NAME/CONFIGURATION"
            )
        return cls(found["id"], found["name"], found["revision"], found["config"])


def hub_source(address: HubAddress, options: FileOptions, streaming: bool) -> Source:
    """Return the source of a data set of the hub.

    Args:
        address: Which one.
        options: How columns are named and splits are cut.
        streaming: Read it as it is worked on; its files are kept nowhere.

    Raises:
        UsageError: A local folder would be taken for it.
    """
    if Path(address.hub_id).exists():  # the hub's own client would read it
        raise UsageError(
            f"here is a folder {address.hub_id}, which is not on the hub; give its files, or run elsewhere"
        )
    return Source(PrepareOptions(), lambda: _read(address, options, streaming))


def _read(address: HubAddress, options: FileOptions, streaming: bool) -> CorpusText:
    with _explained(address):
        found = _load(address, streaming)
    named = {
        split: next((word for word in words if word in found), None) for split, words in SPLIT_WORDS.items()
    }
    if named["train"] is None:
        raise DataError(f"{address.hub_id} has no split train, but {', '.join(found)}; give another data set")
    splits = {
        split: HubSplit(address, f"{address.hub_id}, {theirs}", found[theirs], options.names)
        for split, theirs in named.items()
        if theirs is not None
    }
    missing = {split: share for split, share in options.shares.items() if split not in splits}
    left = [name for name in found if name not in named.values()]
    notes = [f"left out of {address.hub_id}: {', '.join(left[:6])}"] if left else []
    notes += cut_notes(missing, options)
    cut = Cut(missing, options.seed) if missing else None
    return CorpusText(f"Hugging Face hub, {address.hub_id}", splits, tuple(notes), cut)


def _load(address: HubAddress, streaming: bool) -> Mapping[str, Any]:
    import datasets

    found: Mapping[str, Any] = datasets.load_dataset(
        address.hub_id, address.config, revision=address.revision, streaming=streaming
    )
    return found


@dataclass(frozen=True)
class HubSplit:
    """The sentences of one split, read anew each time that they are asked for.

    Attributes:
        address: The data set.
        where: What errors call the split.
        rows: A ``datasets.Dataset`` or ``IterableDataset``.
        names: Where it keeps text and label.
        notes: What was taken as what, once all has been read.
    """

    address: HubAddress
    where: str
    rows: Any
    names: FieldNames
    notes: list[str] = field(default_factory=list)

    def chunks(self) -> Iterator[Chunk]:
        """Yield all sentences in order, some at a time.

        Raises:
            DataError: A row has no text or no label.
            SritoolError: The hub does not answer.
        """
        with _explained(self.address):
            features = dict(self.rows.features or {})
            rows = self.rows.with_format("arrow")
            there = list(features) or next(iter(rows.iter(1))).column_names
            text, label = find_fields(there, self.where, self.names)
            chosen = rows.select_columns([text] if label is None else [text, label])
            classes = getattr(features.get(label), "names", ())  # of a ClassLabel
            batches = (batch for table in chosen.iter(ROWS) for batch in table.to_batches())
            rewritten = 0
            for chunk in chunks_of_rows(batches, text, label, self.where, classes):
                texts, changed = unescaped(chunk.texts, plain=True)
                rewritten += changed
                yield chunk._replace(texts=texts)
        self.notes[:] = [fields_taken(text, label), *rewritten_notes(rewritten, plain=True)]


@contextlib.contextmanager
def _explained(address: HubAddress) -> Iterator[None]:
    """Turn what the client raises into one line; its own talk is kept back."""
    try:
        with quietly(bars=True):
            yield
    except SritoolError:
        raise
    except Exception as error:  # the client's errors are many, and change from one version to the next
        raise SritoolError(
            f"cannot read {address.hub_id} from the Hugging Face hub ({reason_of(error)}); "
            "with its files at hand, give them in its place"
        ) from error

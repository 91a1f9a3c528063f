"""Reads any data set of the Hugging Face hub as text, by its address: downloaded, or streamed without storing it.

hf://OWNER/NAME[@REVISION][/CONFIGURATION]
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from sritool.data.corpora.hub import explained
from sritool.data.csv_parquet import chunks_of_rows
from sritool.data.fields import FieldNames, find_fields
from sritool.data.file_names import SPLIT_WORDS
from sritool.data.options import PrepareOptions
from sritool.data.sentences import CHUNK, Chunk, CorpusText, StreamedSentences
from sritool.data.sources import FileOptions, Source
from sritool.errors import DataError, UsageError

SCHEME = "hf://"
_ADDRESS = re.compile(
    r"hf://(?:datasets/)?(?P<id>[\w.-]+/(?P<name>[\w.-]+))(?:@(?P<revision>[^/\s]+))?(?:/(?P<config>[^/\s]+))?/?"
)


@dataclass(frozen=True)
class HubAddress:
    """Address of a data set: its id, its name without the owner, a revision and a configuration."""

    hub_id: str
    name: str
    revision: str | None = None
    config: str | None = None

    @classmethod
    def of(cls, address: str) -> HubAddress:
        """Parse an address.

        Raises:
            UsageError: The address is not valid.
        """
        found = _ADDRESS.fullmatch(address)
        if found is None:
            raise UsageError(
                f"{address} is not a data set; give hf://OWNER/NAME, or hf://OWNER/NAME/CONFIGURATION"
            )
        return cls(found["id"], found["name"], found["revision"], found["config"])


def hub_source(address: HubAddress, options: FileOptions, streaming: bool) -> Source:
    """Return the source of a data set of the hub; with `streaming`, it is read while processed and not stored.

    Raises:
        UsageError: A local folder has the name of the data set.
    """
    if Path(address.hub_id).exists():  # the hub's client would read it instead
        raise UsageError(
            f"there is a local folder {address.hub_id}, which is not on the hub; give its files, or run elsewhere"
        )
    return Source(PrepareOptions(), partial(_read, address, options, streaming))


def _read(address: HubAddress, options: FileOptions, streaming: bool) -> CorpusText:
    import datasets

    with _explained(address):
        found: Mapping[str, Any] = datasets.load_dataset(
            address.hub_id, address.config, revision=address.revision, streaming=streaming
        )
    named = {
        split: next((word for word in words if word in found), None) for split, words in SPLIT_WORDS.items()
    }
    if named["train"] is None:
        raise DataError(f"{address.hub_id} has no split train, but {', '.join(found)}; give another data set")
    splits = {
        split: _split(address, theirs, found[theirs], options.names)
        for split, theirs in named.items()
        if theirs is not None
    }
    left = [name for name in found if name not in named.values()]
    notes = [f"left out of {address.hub_id}: {', '.join(left[:6])}"] if left else []
    return options.complete(f"Hugging Face hub, {address.hub_id}", splits, notes)


def _split(address: HubAddress, name: str, rows: Any, names: FieldNames) -> StreamedSentences:
    """Return the sentences of a split, a ``datasets.Dataset`` or ``IterableDataset``."""
    where = f"{address.hub_id}, {name}"

    def read() -> Iterator[Chunk]:
        with _explained(address):
            features = dict(rows.features or {})
            tables = rows.with_format("arrow")
            columns = list(features) or next(iter(tables.iter(1))).column_names
            text, label = find_fields(columns, where, names)
            chosen = tables.select_columns([text] if label is None else [text, label])
            classes = getattr(features.get(label), "names", ())  # of a ClassLabel
            batches = (batch for table in chosen.iter(CHUNK) for batch in table.to_batches())
            yield from chunks_of_rows(batches, text, label, where, classes)

    return StreamedSentences(where, read)


def _explained(address: HubAddress) -> contextlib.AbstractContextManager[None]:
    return explained(f"read {address.hub_id}", "if you have its files, give them instead")

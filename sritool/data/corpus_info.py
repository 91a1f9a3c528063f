"""``corpus.json``: a description of a prepared corpus, and digests of its files."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, ConfigDict, Field, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from sritool.data.tokenizer import CONTROL
from sritool.errors import DataError

FORMAT_VERSION = 1
_MOST = 1 << 53


def _on_one_line(text: str) -> str:
    if CONTROL.search(text):
        raise ValueError("it is not one line of text")
    return text


Count = Annotated[int, Field(ge=0, lt=_MOST)]
OneLine = Annotated[str, AfterValidator(_on_one_line)]


class OtherVersionError(DataError):
    """A prepared corpus of a version that this sritool cannot read: intact, so not replaced unless asked."""


@dataclass(frozen=True, config=ConfigDict(strict=True))
class SplitInfo:
    """Counts of one split. ``tokens`` are words, or pieces of a SentencePiece tokenizer."""

    sentences: Count  # sentences that were kept
    words: Count  # words as the text separates them, without </s>
    tokens: Count  # tokens without </s>
    predictions: Count  # tokens with </s>
    unknown: Count  # tokens that are <unk>, including those marked in the text itself
    oov: Count  # tokens that are <unk> because the vocabulary lacks them
    empty: Count  # lines without a word, which were dropped
    dropped: Count  # lines over max_length that were dropped
    truncated: Count  # lines over max_length that were cut
    cleaned: Count  # lines whose control characters became spaces
    longest: Count  # tokens of the longest line before cutting
    chunked: Count = 0  # lines over max_length that became several sentences
    parts: Count = 0  # sentences made from those lines
    left_out: Count = 0  # tokens of lines over max_length that are in no sentence

    @property
    def oov_share(self) -> float:
        """Share of tokens that the vocabulary lacks."""
        return self.oov / self.tokens if self.tokens else 0.0


@dataclass(frozen=True, config=ConfigDict(strict=True, extra="forbid"))
class CorpusInfo:
    """Origin and content of a prepared corpus; see `options.PrepareOptions` for how it was made."""

    name: OneLine  # the corpus's name
    source: str  # files, hub set or grammar that the text came from
    tokenizer: OneLine
    vocabulary: Count  # number of words or pieces, with <unk>, without <pad>, <s>, </s>
    max_length: Count
    min_count: Count
    vocab_size: Count | None
    lowercase: bool
    split_punctuation: bool
    drop_long: bool
    labels: tuple[str, ...]  # names of the labels, by index
    notes: tuple[str, ...]  # remarks that matter for reading figures
    splits: Annotated[Mapping[OneLine, SplitInfo], Field(min_length=1)]  # counts of each split
    # Hash of tokenizer, labels and sentences; equal content has the same hash, whatever its origin.
    content_hash: OneLine
    chunk: bool = False
    format_version: Count = FORMAT_VERSION  # version of the format on disk

    @property
    def held_out(self) -> str:
        """The split that figures are measured on: test, or valid if there is no test."""
        return "test" if "test" in self.splits else "valid"

    def to_json(self, files: Mapping[str, str]) -> str:
        """Return the content of ``corpus.json``: these fields, shares of unknown words, SHA-256 of files by name."""
        values = asdict(self)
        for split, counts in self.splits.items():
            values["splits"][split]["oov_share"] = round(counts.oov_share, 6)
        values["files"] = dict(files)
        values["digest"] = _digest_of(values)
        return json.dumps(values, indent=2, ensure_ascii=False) + "\n"


def parse_info(path: Path, text: str) -> tuple[CorpusInfo, dict[str, str]]:
    """Parse the ``corpus.json`` of a corpus in `path`; return its info and the digests of its files.

    Raises:
        OtherVersionError: Another version of sritool wrote it.
        ValueError: It holds something that sritool does not write.
    """
    try:
        values = json.loads(text)
    except RecursionError as error:
        raise ValueError("corpus.json is nested too deeply") from error
    version = values.get("format_version") if isinstance(values, dict) else None
    if type(version) is not int or not 0 <= version < _MOST:
        raise ValueError("corpus.json has no format version")
    if version != FORMAT_VERSION:
        raise OtherVersionError(
            f"the prepared corpus in {path} has format version {version}, this sritool reads {FORMAT_VERSION}; "
            "upgrade sritool, or prepare the text again under another name"
        )
    if values.pop("digest", None) != _digest_of(values):
        raise ValueError("corpus.json is not the one that was written")
    files = _validated(dict[OneLine, OneLine], values.pop("files", None))
    return _validated(CorpusInfo, values), files


def _validated(kind: Any, values: Any) -> Any:
    try:
        return TypeAdapter(kind).validate_json(json.dumps(values), strict=True)
    except ValidationError as error:
        first = error.errors()[0]
        where = ascii(".".join(map(str, first["loc"])))[:60]
        raise ValueError(f"corpus.json has {where}: {first['msg']}") from error


def _digest_of(values: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode("ascii")).hexdigest()

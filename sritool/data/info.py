"""``corpus.json``: what a prepared corpus is, and digests of its files."""

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
_CHUNK = 1 << 20


def _on_one_line(text: str) -> str:
    if CONTROL.search(text):
        raise ValueError("it is no text of one line")
    return text


Count = Annotated[int, Field(ge=0, lt=_MOST)]
OneLine = Annotated[str, AfterValidator(_on_one_line)]


class OtherVersionError(DataError):
    """A prepared corpus of a version that this sritool does not read: whole, and not to be replaced unasked."""


@dataclass(frozen=True, config=ConfigDict(strict=True))
class SplitInfo:
    """Counts of one split. ``tokens`` are words, or pieces of a SentencePiece tokenizer."""

    sentences: Count
    words: Count  # as the text separates them, without </s>
    tokens: Count  # without </s>
    predictions: Count  # with </s>
    unknown: Count  # tokens that are <unk>, those included that the text itself marks so
    oov: Count  # tokens that are <unk> because the vocabulary lacks them
    empty: Count  # lines without a word, dropped
    dropped: Count  # lines over max_length, dropped
    truncated: Count  # lines over max_length, cut
    cleaned: Count  # lines whose control characters became spaces
    longest: Count  # tokens of the longest line before cutting

    @property
    def oov_share(self) -> float:
        """Share of tokens that the vocabulary lacks."""
        return self.oov / self.tokens if self.tokens else 0.0


@dataclass(frozen=True, config=ConfigDict(strict=True, extra="forbid"))
class CorpusInfo:
    """``corpus.json``: where a prepared corpus came from and what is in it."""

    name: OneLine
    source: str
    tokenizer: OneLine
    vocabulary: Count  # words (or pieces) with <unk>, without <pad>, <s>, </s>
    max_length: Count
    min_count: Count
    vocab_size: Count | None
    lowercase: bool
    split_punctuation: bool
    drop_long: bool
    labels: tuple[str, ...]
    notes: tuple[str, ...]
    splits: Annotated[Mapping[OneLine, SplitInfo], Field(min_length=1)]
    content_hash: (
        OneLine  # of tokenizer, labels, sentences; the same for the same content, wherever it came from
    )
    format_version: Count = FORMAT_VERSION

    def to_json(self, files: Mapping[str, str] | None = None) -> str:
        """As stored, with the shares of unknown words spelled out, digests of the files, and one of all this."""
        values = asdict(self)
        for split, counts in self.splits.items():
            values["splits"][split]["oov_share"] = round(counts.oov_share, 6)
        if files is not None:
            values["files"] = dict(files)
            values["digest"] = _digest_of(values)
        return json.dumps(values, indent=2, ensure_ascii=False) + "\n"


def digest_file(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal. Raises: OSError."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while part := file.read(_CHUNK):
            digest.update(part)
    return digest.hexdigest()


def parse_info(path: Path, text: str) -> tuple[CorpusInfo, dict[str, str] | None]:
    """Return what ``corpus.json`` says, and the digests of the corpus's files; None: it was made without.

    Args:
        path: The corpus, for errors.
        text: The content of ``corpus.json``.

    Raises:
        OtherVersionError: Another version of sritool made it.
        ValueError, KeyError, TypeError: It says something that we do not write.
    """
    try:
        values = json.loads(text)
    except RecursionError as error:
        raise ValueError("corpus.json is nested too deep") from error
    if not isinstance(values, dict):
        raise TypeError("corpus.json is no object")
    version = values["format_version"]
    if type(version) is not int or not 0 <= version < _MOST:
        raise TypeError("its format version is no number")
    if version != FORMAT_VERSION:
        raise OtherVersionError(
            f"the prepared corpus in {path} has format version {version}, this sritool reads {FORMAT_VERSION}; "
            "upgrade sritool, or prepare the text again under another name"
        )
    digest, files = values.pop("digest", None), None
    if digest is not None or "files" in values:
        if digest != _digest_of(values):
            raise ValueError("corpus.json is not the one that was written")
        files = _validated(dict[OneLine, OneLine], values.pop("files"))
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

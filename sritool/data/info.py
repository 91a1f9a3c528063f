"""``corpus.json``: what a prepared corpus is, and digests of its files."""

from __future__ import annotations

import hashlib
import json
import typing
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from sritool.data.tokenizer import CONTROL
from sritool.errors import DataError

FORMAT_VERSION = 1
_MOST = 1 << 53
_CHUNK = 1 << 20


class OtherVersionError(DataError):
    """A prepared corpus of a version that this sritool does not read: whole, and not to be replaced unasked."""


@dataclass(frozen=True)
class SplitInfo:
    """Counts of one split. ``tokens`` are words, or pieces of a SentencePiece tokenizer."""

    sentences: int
    words: int  # as the text separates them, without </s>
    tokens: int  # without </s>
    predictions: int  # with </s>
    unknown: int  # tokens that are <unk>, those included that the text itself marks so
    oov: int  # tokens that are <unk> because the vocabulary lacks them
    empty: int  # lines without a word, dropped
    dropped: int  # lines over max_length, dropped
    truncated: int  # lines over max_length, cut
    cleaned: int  # lines whose control characters became spaces
    longest: int  # tokens of the longest line before cutting

    @property
    def oov_share(self) -> float:
        """Share of tokens that the vocabulary lacks."""
        return self.oov / self.tokens if self.tokens else 0.0


@dataclass(frozen=True)
class CorpusInfo:
    """``corpus.json``: where a prepared corpus came from and what is in it."""

    name: str
    source: str
    tokenizer: str
    vocabulary: int  # words (or pieces) with <unk>, without <pad>, <s>, </s>
    max_length: int
    min_count: int
    vocab_size: int | None
    lowercase: bool
    split_punctuation: bool
    drop_long: bool
    labels: tuple[str, ...]
    notes: tuple[str, ...]
    splits: Mapping[str, SplitInfo]
    content_hash: str  # of tokenizer, labels, sentences; the same for the same content, wherever it came from
    format_version: int = FORMAT_VERSION

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
    """What ``corpus.json`` of the corpus in `path` says, and the digests of its files; None: it was made without.

    Raises: OtherVersionError; ValueError, KeyError or TypeError for anything that we do not write.
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
        files = _strings("files", values.pop("files"))
    splits = values.pop("splits")
    if not isinstance(splits, dict) or not splits:
        raise TypeError("corpus.json has no splits")
    known = {item.name for item in fields(SplitInfo)} | {"oov_share"}
    counts = {_name("a split", name): _typed(SplitInfo, of, known) for name, of in splits.items()}
    info = _typed(CorpusInfo, {**values, "splits": counts}, {item.name for item in fields(CorpusInfo)})
    return info, files


def _digest_of(values: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode("ascii")).hexdigest()


def _typed(kind: Any, values: Any, known: set[str]) -> Any:
    """A dataclass from JSON's values. Raises: TypeError if they are not of its types, KeyError if one is missing."""
    if not isinstance(values, dict):
        raise TypeError("corpus.json has something else than a table of counts")
    if not values.keys() <= known:
        raise KeyError(f"corpus.json has {min(values.keys() - known)[:40]!r}, which is unknown")
    hints = typing.get_type_hints(kind)
    missing = hints.keys() - values.keys()
    if missing:
        raise KeyError(f"corpus.json lacks {', '.join(sorted(missing))}")
    return kind(**{name: _checked(hint, values[name], name) for name, hint in hints.items()})


def _checked(hint: Any, value: Any, name: str) -> Any:
    """A value of one field. Raises: TypeError if it is of another type."""
    if hint == int | None:
        hint = type(None) if value is None else int
    if hint == tuple[str, ...] and isinstance(value, list) and all(isinstance(item, str) for item in value):
        return tuple(value)
    fits = type(value) is (typing.get_origin(hint) or hint) or name == "splits"
    if not fits or (hint is int and not 0 <= value < _MOST):
        raise TypeError(f"corpus.json has another kind of value for {name}")
    return _name(name, value) if name in ("name", "tokenizer", "content_hash") else value


def _name(what: str, value: Any) -> str:
    if not isinstance(value, str) or CONTROL.search(value):
        raise TypeError(f"corpus.json has no text of one line for {what}")
    return value


def _strings(what: str, values: Any) -> dict[str, str]:
    if not isinstance(values, dict):
        raise TypeError(f"corpus.json has no table of {what}")
    return {_name(what, key): _name(what, value) for key, value in values.items()}

"""Prepared corpora on disk: one folder each, written whole or not at all, read without ``datasets``.

    data/NAME/corpus.json                    what it is (CorpusInfo)
    data/NAME/tokenizer.json [.model]        the vocabulary, or the SentencePiece model
    data/NAME/{train,valid,test}/*.arrow     ids, and label and words where there are any

The folder is a Hugging Face ``DatasetDict``: ``datasets.load_from_disk("data/NAME")`` opens it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from sritool.corpus.folder import recover
from sritool.corpus.tokenizer import (
    IdArray,
    OffsetArray,
    Tokenizer,
    WordTokenizer,
    offsets_of,
    tokenizer_from_state,
)
from sritool.errors import CheckpointError, DataError

FORMAT_VERSION = 1
INFO_FILE = "corpus.json"
TOKENIZER_FILE, MODEL_FILE = "tokenizer.json", "tokenizer.model"
OWN_FILES = frozenset({INFO_FILE, TOKENIZER_FILE, MODEL_FILE, "dataset_dict.json", "train", "valid", "test"})


class OtherVersionError(DataError):
    """A prepared corpus of a version that this sritool does not read: whole, and not to be replaced unasked."""


@dataclass(frozen=True, eq=False)
class Split:
    """Sentences as targets: word ids and then ``</s>``, which is missing where the sentence was cut.

    The arrays of a stored corpus are read-only: they may be views of its file.
    """

    ids: IdArray  # [predictions] int32, all sentences in a row
    offsets: OffsetArray  # [sentences + 1] int64, where each begins
    labels: npt.NDArray[np.int64] | None  # [sentences], index into CorpusInfo.labels
    words: npt.NDArray[np.int64]  # [sentences], original words, </s> counted where it is there

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @cached_property
    def lengths(self) -> npt.NDArray[np.int64]:
        """Predictions of each sentence, ``</s>`` included: [sentences] int64."""
        return np.diff(self.offsets)

    @property
    def predictions(self) -> int:
        """Predictions of the whole split, the denominator of perplexity."""
        return len(self.ids)

    def targets(self, index: int) -> IdArray:
        """Targets of one sentence, a view [length] int32."""
        return self.ids[self.offsets[index] : self.offsets[index + 1]]

    def choice(self, count: int) -> Split:
        """A fixed random choice of `count` of its sentences, in their order; itself where it has no more."""
        if count >= len(self):
            return self
        chosen = np.sort(np.random.default_rng(0).permutation(len(self))[:count])
        ids = [self.targets(int(index)) for index in chosen]
        offsets = np.concatenate(([0], np.cumsum(self.lengths[chosen])))
        labels = None if self.labels is None else self.labels[chosen]
        return Split(np.concatenate(ids), offsets, labels, self.words[chosen])


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

    def to_json(self) -> str:
        """As stored, with the shares of unknown words spelled out."""
        values = asdict(self)
        for split, counts in self.splits.items():
            values["splits"][split]["oov_share"] = round(counts.oov_share, 6)
        return json.dumps(values, indent=2, ensure_ascii=False) + "\n"


class Corpus:
    """A prepared corpus; each split is read when it is first asked for."""

    def __init__(self, path: Path, info: CorpusInfo, tokenizer: Tokenizer) -> None:
        self.path = path
        self.info = info
        self.tokenizer = tokenizer
        self._splits: dict[str, Split] = {}

    def split(self, name: str) -> Split:
        """The sentences of a split.

        Raises: DataError if there is no such split or its file is damaged.
        """
        if name not in self.info.splits:
            there = ", ".join(self.info.splits)
            raise DataError(f"corpus {self.info.name} has no split {name!r}; it has {there}")
        if name not in self._splits:
            self._splits[name] = _read_split(self.path / name, self.info, name, len(self.tokenizer))
        return self._splits[name]


def find_corpus(name: str, data_dir: Path) -> Path | None:
    """Folder of the prepared corpus ``name`` in ``data_dir``, or None; ``name`` may be a path to it too."""
    path = Path(name) if "/" in name else data_dir / name
    recover(path)
    return path if (path / INFO_FILE).is_file() else None


def load_corpus(path: Path) -> Corpus:
    """Open a prepared corpus: its info and tokenizer now, its splits when asked for.

    Raises: DataError if there is none or it is damaged.
    """
    path = Path(path)
    recover(path)
    if not (path / INFO_FILE).is_file():
        raise DataError(f"no prepared corpus in {path}; make one with: sritool preprocess")
    try:
        info = _info_from_json(path, (path / INFO_FILE).read_text(encoding="utf-8"))
        state = json.loads((path / TOKENIZER_FILE).read_text(encoding="utf-8"))
        if (path / MODEL_FILE).is_file():
            state["model"] = (path / MODEL_FILE).read_bytes()
        tokenizer = tokenizer_from_state(state)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, CheckpointError) as error:
        raise _damaged(path, error) from error
    return Corpus(path, info, tokenizer)


def content_hash(tokenizer: Tokenizer, splits: Mapping[str, Split], labels: Sequence[str]) -> str:
    """SHA-256 of the tokenizer, the label names and every split, in hexadecimal."""
    digest = hashlib.sha256()

    def add(part: bytes | memoryview) -> None:
        digest.update(len(part).to_bytes(8, "little"))
        digest.update(part)

    state = tokenizer.state()
    model = state.pop("model", b"")
    add(json.dumps([state, list(labels)], sort_keys=True).encode())
    add(model)
    for name in sorted(splits):
        split = splits[name]
        add(name.encode())
        for array in (split.ids, split.offsets, split.words, split.labels):
            add(b"" if array is None else np.ascontiguousarray(array).view(np.uint8).data)
    return digest.hexdigest()


def write_corpus(folder: Path, tokenizer: Tokenizer, splits: Mapping[str, Split], info: CorpusInfo) -> None:
    """Write a corpus into the empty ``folder``; ``corpus.json`` comes last."""
    import datasets

    quiet = datasets.utils.are_progress_bars_disabled()
    datasets.disable_progress_bars()
    try:
        parts = {name: _to_dataset(split, info.labels, tokenizer) for name, split in splits.items()}
        datasets.DatasetDict(parts).save_to_disk(folder)
    finally:
        if not quiet:
            datasets.enable_progress_bars()
    state = tokenizer.state()
    if "model" in state:
        (folder / MODEL_FILE).write_bytes(state.pop("model"))
    (folder / TOKENIZER_FILE).write_text(json.dumps(state, ensure_ascii=False) + "\n", encoding="utf-8")
    (folder / INFO_FILE).write_text(info.to_json(), encoding="utf-8")


def _to_dataset(split: Split, labels: Sequence[str], tokenizer: Tokenizer) -> Any:
    import datasets
    import pyarrow as pa

    columns: dict[str, Any] = {"ids": pa.ListArray.from_arrays(split.offsets.astype(np.int32), split.ids)}
    features: dict[str, Any] = {"ids": datasets.List(datasets.Value("int32"))}
    if split.labels is not None:
        columns["label"] = pa.array(split.labels)
        features["label"] = datasets.ClassLabel(names=list(labels))
    if not isinstance(tokenizer, WordTokenizer):
        columns["words"] = pa.array(split.words)
        features["words"] = datasets.Value("int64")
    return datasets.Dataset(
        pa.table(columns), info=datasets.DatasetInfo(features=datasets.Features(features))
    )


def _read_split(folder: Path, info: CorpusInfo, name: str, types: int) -> Split:
    import pyarrow as pa

    try:
        tables = [
            pa.ipc.open_stream(pa.memory_map(str(file))).read_all() for file in sorted(folder.glob("*.arrow"))
        ]
        table = pa.concat_tables(tables)
        chunks = table.column("ids").chunks
        ids = [_as_numpy(chunk.flatten(), np.int32) for chunk in chunks]
        lengths = [np.diff(_as_numpy(chunk.offsets, np.int32)) for chunk in chunks]
        flat = ids[0] if len(ids) == 1 else np.concatenate(ids)
        offsets = offsets_of(np.concatenate(lengths))
        labels, words = _column(table, "label"), _column(table, "words")
        if len(offsets) - 1 != info.splits[name].sentences or len(flat) != info.splits[name].predictions:
            raise ValueError("it holds other numbers of sentences than corpus.json says")
        if len(flat) and not 0 <= int(flat.min()) <= int(flat.max()) < types:
            raise ValueError("it holds ids outside the vocabulary")
    except (OSError, ValueError, KeyError, IndexError, pa.ArrowException) as error:
        raise _damaged(folder, error) from error
    flat.flags.writeable = False
    return Split(ids=flat, offsets=offsets, labels=labels, words=np.diff(offsets) if words is None else words)


def _column(table: Any, name: str) -> npt.NDArray[np.int64] | None:
    if name not in table.column_names:
        return None
    return np.concatenate([_as_numpy(chunk, np.int64) for chunk in table.column(name).chunks])


def _as_numpy(array: Any, dtype: type[np.generic]) -> npt.NDArray[Any]:
    """The values of an Arrow array without a copy. Its own ``to_numpy`` would import pandas: 0.3 s."""
    if array.null_count or array.type.bit_width != np.dtype(dtype).itemsize * 8:
        raise ValueError("a column has missing values or another type")
    return np.frombuffer(array.buffers()[1], dtype=dtype)[array.offset : array.offset + len(array)]


def _info_from_json(path: Path, text: str) -> CorpusInfo:
    values = json.loads(text)
    version = values["format_version"]
    if not isinstance(version, int):
        raise TypeError("its format version is no number")
    if version != FORMAT_VERSION:
        raise OtherVersionError(
            f"the prepared corpus in {path} has format version {version}, this sritool reads {FORMAT_VERSION}; "
            "upgrade sritool, or prepare the text again under another name"
        )
    known = {item.name for item in fields(SplitInfo)}
    splits = {
        name: SplitInfo(**{key: value for key, value in counts.items() if key in known})
        for name, counts in values["splits"].items()
    }
    lists = {key: tuple(values[key]) for key in ("labels", "notes")}
    return CorpusInfo(**{**values, **lists, "splits": splits})


def _damaged(path: Path, error: Exception) -> DataError:
    reason = " ".join(str(error).split())[:150] or type(error).__name__
    return DataError(
        f"the prepared corpus in {path} is damaged ({reason}); make it again with sritool preprocess"
    )

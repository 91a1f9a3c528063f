"""Prepared corpora on disk: one folder each, written whole or not at all, read without ``datasets``.

    data/NAME/corpus.json                    what it is (CorpusInfo)
    data/NAME/tokenizer.json [.model]        the vocabulary, or the SentencePiece model
    data/NAME/{train,valid,test}/*.arrow     ids, and label and words where there are any

The folder is a Hugging Face ``DatasetDict``: ``datasets.load_from_disk("data/NAME")`` opens it.
"""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from sritool.data.arrow_arrays import array_of, lists_of, values_of
from sritool.data.folder import recover
from sritool.data.info import (
    CorpusInfo,
    SplitInfo,
    digest_file,
    parse_info,
)
from sritool.data.sampling import seeded_choice
from sritool.data.tokenizer import (
    EOS,
    FIRST_PREDICTED,
    UNK,
    IdArray,
    OffsetArray,
    Tokenizer,
    WordTokenizer,
    offsets_of,
    tokenizer_from_state,
)
from sritool.errors import CheckpointError, DataError

MOST_IN_CHUNK = 2**31 - 1  # ids in one Arrow array of lists
INFO_FILE = "corpus.json"
SPLIT_FILE = "data-00000-of-00001.arrow"
TOKENIZER_FILE, MODEL_FILE = "tokenizer.json", "tokenizer.model"
OWN_FILES = frozenset({INFO_FILE, TOKENIZER_FILE, MODEL_FILE, "dataset_dict.json", "train", "valid", "test"})


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
        """Return a fixed random choice of `count` of its sentences, in their order; itself where it has no more."""
        if count >= len(self):
            return self
        chosen = seeded_choice(len(self), count)
        ids = [self.targets(int(index)) for index in chosen]
        offsets = np.concatenate(([0], np.cumsum(self.lengths[chosen])))
        labels = None if self.labels is None else self.labels[chosen]
        return Split(np.concatenate(ids), offsets, labels, self.words[chosen])


class Corpus:
    """A prepared corpus; each split is read when it is first asked for."""

    def __init__(
        self, path: Path, info: CorpusInfo, tokenizer: Tokenizer, files: Mapping[str, str] | None = None
    ) -> None:
        """Open a corpus whose files have been checked.

        Args:
            path: Its folder.
            info: What ``corpus.json`` says.
            tokenizer: Its vocabulary or model.
            files: SHA-256 of the files of the splits, None if the corpus was made without.
        """
        self.path = path
        self.info = info
        self.tokenizer = tokenizer
        self._files = files
        self._splits: dict[str, Split] = {}

    def split(self, name: str) -> Split:
        """Return the sentences of a split.

        Raises:
            DataError: There is no such split or its file is damaged.
        """
        if name not in self.info.splits:
            there = ", ".join(self.info.splits)
            raise DataError(f"corpus {self.info.name} has no split {name!r}; it has {there}")
        if name not in self._splits:
            self._splits[name] = _read_split(self.path, name, self.info, len(self.tokenizer), self._files)
        return self._splits[name]


def find_corpus(name: str, data_dir: Path) -> Path | None:
    """Return the folder of the prepared corpus `name` in `data_dir`, or None; `name` may be a path to it too."""
    path = Path(name) if "/" in name else data_dir / name
    recover(path)
    return path if (path / INFO_FILE).is_file() else None


def load_corpus(path: Path) -> Corpus:
    """Open a prepared corpus: its info and tokenizer now, its splits when asked for.

    Raises:
        DataError: There is none or it is damaged.
    """
    path = Path(path)
    recover(path)
    if not (path / INFO_FILE).is_file():
        raise DataError(f"no prepared corpus in {path}; make one with: sritool preprocess")
    try:
        info, files = parse_info(path, (path / INFO_FILE).read_text(encoding="utf-8"))
        has_model = (path / MODEL_FILE).is_file()
        _check_digests(path, (TOKENIZER_FILE, MODEL_FILE)[: 1 + has_model], files)
        state = json.loads((path / TOKENIZER_FILE).read_text(encoding="utf-8"))
        if has_model:
            state["model"] = (path / MODEL_FILE).read_bytes()
        tokenizer = tokenizer_from_state(state)
        if tokenizer.kind != info.tokenizer or len(tokenizer) != info.vocabulary + UNK:
            raise ValueError("it has another vocabulary than corpus.json says")
    except (
        OSError,
        ValueError,
        KeyError,
        TypeError,
        AttributeError,
        RecursionError,
        CheckpointError,
    ) as error:
        raise _damaged(path, error) from error
    return Corpus(path, info, tokenizer, files)


def _check_digests(folder: Path, names: Iterable[str], files: Mapping[str, str] | None) -> None:
    """Raises: ValueError if a file is not the one that was written; older corpora do not say which that was."""
    for name in names if files is not None else ():
        if digest_file(folder / name) != (files or {}).get(name):
            raise ValueError(f"its file {name} is not the one that was written")


def content_hash(tokenizer: Tokenizer, splits: Mapping[str, Split], labels: Sequence[str]) -> str:
    """Return the SHA-256 of the tokenizer, the label names and every split, in hexadecimal."""
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
    """Write a corpus into the empty `folder`; ``corpus.json`` comes last."""
    for name, split in splits.items():
        _write_split(folder / name, split, info, isinstance(tokenizer, WordTokenizer))
    _write_json(folder / "dataset_dict.json", {"splits": [*splits]})
    state = tokenizer.state()
    if "model" in state:
        (folder / MODEL_FILE).write_bytes(state.pop("model"))
    _write_json(folder / TOKENIZER_FILE, state)
    parts_of = [*sorted(folder.glob("*/*.arrow")), folder / TOKENIZER_FILE, folder / MODEL_FILE]
    files = {path.relative_to(folder).as_posix(): digest_file(path) for path in parts_of if path.is_file()}
    (folder / INFO_FILE).write_text(info.to_json(files), encoding="utf-8")


def _write_split(folder: Path, split: Split, info: CorpusInfo, are_words: bool) -> None:
    """Write a split as `save_to_disk` of ``datasets`` does, which would take longer than all else."""
    import pyarrow as pa

    columns: dict[str, Any] = {"ids": _lists(split.ids, split.offsets)}
    features: dict[str, Any] = {"ids": {"feature": {"dtype": "int32", "_type": "Value"}, "_type": "List"}}
    if split.labels is not None:
        columns["label"] = array_of(split.labels)
        features["label"] = {"names": [*info.labels], "_type": "ClassLabel"}
    if not are_words:
        columns["words"] = array_of(split.words)
        features["words"] = {"dtype": "int64", "_type": "Value"}
    table = pa.table(columns)
    folder.mkdir()
    with pa.OSFile(str(folder / SPLIT_FILE), "wb") as file, pa.ipc.new_stream(file, table.schema) as stream:
        stream.write_table(table)
    about = {"citation": "", "description": "", "features": features, "homepage": "", "license": ""}
    _write_json(folder / "dataset_info.json", about)
    state: dict[str, Any] = {"_data_files": [{"filename": SPLIT_FILE}]}
    state |= {"_fingerprint": f"{info.content_hash[:16]}-{folder.name}", "_split": None}
    state |= {
        "_format_columns": None,
        "_format_kwargs": {},
        "_format_type": None,
        "_output_all_columns": False,
    }
    _write_json(folder / "state.json", state)


def _write_json(path: Path, values: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(values, ensure_ascii=False) + "\n", encoding="utf-8")


def _lists(ids: IdArray, offsets: OffsetArray) -> Any:
    """Sentences as Arrow lists, in chunks: an Arrow list counts its values in 32 bits."""
    import pyarrow as pa

    chunks = []
    begin, end = 0, len(offsets) - 1
    while begin < end:
        next_begin = int(np.searchsorted(offsets, offsets[begin] + MOST_IN_CHUNK, side="right")) - 1
        bounds = offsets[begin : next_begin + 1]
        starts = array_of((bounds - bounds[0]).astype(np.int32))
        chunks.append(pa.ListArray.from_arrays(starts, array_of(ids[bounds[0] : bounds[-1]])))
        begin = next_begin
    return pa.chunked_array(chunks, type=pa.list_(pa.int32()))


def _read_split(
    corpus: Path, name: str, info: CorpusInfo, types: int, files: Mapping[str, str] | None
) -> Split:
    import pyarrow as pa

    folder = corpus / name
    try:
        parts = sorted(folder.glob("*.arrow"))
        _check_digests(corpus, [f"{name}/{part.name}" for part in parts], files)
        split = _split_of(parts)
        _check_split(split, info.splits[name], types, len(info.labels))
    except (OSError, ValueError, struct.error, pa.ArrowException) as error:
        raise _damaged(folder, error) from error
    split.ids.flags.writeable = False
    return split


def _split_of(files: Sequence[Path]) -> Split:
    """Read the columns of Arrow files, one after another: views of the file where it has one batch.

    Raises:
        ValueError, OSError, pyarrow.ArrowException: There is no file, or one is not as we write it.
    """
    import pyarrow as pa

    if not files:
        raise ValueError("it has no .arrow file")
    table = pa.concat_tables([_read_table(file) for file in files])
    ids, lengths = [np.zeros(0, np.int32)], [np.zeros(0, np.int64)]
    for chunk in table.column("ids").chunks:
        flat, counts = lists_of(chunk, np.int32)
        ids.append(flat)
        lengths.append(counts)
    offsets = offsets_of(np.concatenate(lengths))
    numbers = {
        name: np.concatenate(
            [np.zeros(0, np.int64), *(values_of(c, np.int64) for c in table.column(name).chunks)]
        )
        for name in table.column_names
        if name != "ids"
    }
    words = numbers.get("words", np.diff(offsets))
    return Split(ids[1] if len(ids) == 2 else np.concatenate(ids), offsets, numbers.get("label"), words)


def _read_table(file: Path) -> Any:
    """Map one Arrow file. What the library would unpack, or leave unchecked, is refused.

    Raises:
        ValueError, OSError, pyarrow.ArrowException: It is not as we write it.
    """
    import pyarrow as pa

    kinds = {"ids": pa.list_(pa.int32()), "label": pa.int64(), "words": pa.int64()}
    with pa.memory_map(str(file)) as data:
        for message in pa.ipc.MessageReader.open_stream(data):
            if message.type == "record batch" and _names_codec(message.metadata.to_pybytes()):
                raise ValueError("it is compressed, and was not unpacked")
            if message.type not in ("schema", "record batch"):
                raise ValueError(f"it holds a {message.type}")
        data.seek(0)
        with pa.ipc.open_stream(data) as stream:
            names, types = stream.schema.names, {field.name: field.type for field in stream.schema}
            ours = {name: kinds.get(name) for name in names}
            if "ids" not in names or len(types) < len(names) or types != ours:
                raise ValueError("it has other columns than ids, label and words, or other types")
            table = stream.read_all()
    table.validate(full=True)
    if table.column("ids").null_count:
        raise ValueError("a sentence is missing")
    return table


def _names_codec(batch: bytes) -> bool:
    """Whether the description of a record batch names a codec: how large the data would become, it says alone.

    The library unpacks such a batch before anyone can ask for its size. The description is a FlatBuffers table
    (Arrow's format/Message.fbs), which begins with the distance to the list of places of its fields.
    """

    def field(table: int, number: int) -> int:
        places = table - struct.unpack_from("<i", batch, table)[0]
        size, place = struct.unpack_from("<H", batch, places)[0], 4 + 2 * number
        return int(table + struct.unpack_from("<H", batch, places + place)[0]) if place < size else table

    def follow(place: int) -> int:
        return int(place + struct.unpack_from("<I", batch, place)[0])

    message = follow(0)
    header = follow(field(message, 2))
    return field(header, 3) != header


def _check_split(split: Split, counts: SplitInfo, types: int, labels: int) -> None:
    """Raises: ValueError if a split is not what corpus.json says, or holds what no text becomes."""
    if len(split) != counts.sentences or split.predictions != counts.predictions:
        raise ValueError("it holds other numbers of sentences than corpus.json says")
    if not len(split) or split.lengths.min() < 1:
        raise ValueError("it holds an empty sentence, or none at all")
    if not FIRST_PREDICTED <= int(split.ids.min()) <= int(split.ids.max()) < types:
        raise ValueError("it holds ids outside the vocabulary")
    ends = np.flatnonzero(split.ids == EOS)
    if not np.array_equal(ends, (split.offsets[1:] - 1)[split.ids[split.offsets[1:] - 1] == EOS]):
        raise ValueError("it holds a sentence that goes on after its end")
    if split.labels is not None and not 0 <= int(split.labels.min()) <= int(split.labels.max()) < labels:
        raise ValueError("it holds labels that corpus.json does not name")
    if int(split.words.min()) < 0 or int(split.words.max()) >= 1 << 31:
        raise ValueError("it holds absurd counts of words")


def _damaged(path: Path, error: Exception) -> DataError:
    reason = " ".join(str(error).split())[:150] or type(error).__name__
    return DataError(
        f"the prepared corpus in {path} is damaged ({reason}); make it again with sritool preprocess"
    )

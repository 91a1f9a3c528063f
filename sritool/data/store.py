"""Prepared corpora on disk: one folder each, written atomically, read without ``datasets``.

    data/NAME/corpus.json                    its description (CorpusInfo)
    data/NAME/tokenizer.json [.model]        the vocabulary, or the SentencePiece model
    data/NAME/{train,valid,test}/*.arrow     ids, and label and words if there are any

The folder is a Hugging Face ``DatasetDict``: ``datasets.load_from_disk("data/NAME")`` opens it.
"""

from __future__ import annotations

import errno
import hashlib
import json
from collections.abc import Iterable, Mapping, MutableMapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from sritool.data.arrays import pieces_of
from sritool.data.corpus_info import CorpusInfo, parse_info
from sritool.data.split import Split
from sritool.data.split_files import SplitFiles, read_split, write_json
from sritool.data.staged_folder import recover
from sritool.data.tokenizer import UNK, Tokenizer, tokenizer_from_state
from sritool.errors import CheckpointError, DataError, advice_on
from sritool.files import digest_of

INFO_FILE = "corpus.json"
TOKENIZER_FILE, MODEL_FILE = "tokenizer.json", "tokenizer.model"
OWN_FILES = frozenset({INFO_FILE, TOKENIZER_FILE, MODEL_FILE, "dataset_dict.json", "train", "valid", "test"})


@dataclass(eq=False)
class Corpus:
    """A prepared corpus with checked info and tokenizer; each split is read on first use."""

    path: Path  # its folder
    info: CorpusInfo  # what ``corpus.json`` says
    tokenizer: Tokenizer  # its vocabulary or model
    files: Mapping[str, str] = field(
        default_factory=dict
    )  # SHA-256 of its files by name; empty for one in memory
    splits: MutableMapping[str, Split] = field(default_factory=dict)  # splits already in memory, by name

    def split(self, name: str) -> Split:
        """Return the sentences of a split.

        Raises:
            DataError: The split does not exist, or its file is damaged.
        """
        if name not in self.info.splits:
            known = ", ".join(self.info.splits)
            raise DataError(f"corpus {self.info.name} has no split {name!r}; it has {known}")
        if name not in self.splits:
            folder = self.path / name
            try:
                parts = sorted(folder.glob("*.arrow"))
                _check_digests(self.path, [f"{name}/{part.name}" for part in parts], self.files)
                found = read_split(parts, self.info.splits[name], len(self.tokenizer), len(self.info.labels))
            except (OSError, ValueError) as error:
                raise _damaged(folder, error) from error
            self.splits[name] = found
        return self.splits[name]


def find_corpus(name: str, data_dir: Path) -> Path | None:
    """Return the folder of a prepared corpus, given its name in `data_dir` or its path; None if there is none."""
    path = Path(name) if "/" in name else data_dir / name
    recover(path)
    return path if (path / INFO_FILE).is_file() else None


def load_corpus(path: Path) -> Corpus:
    """Open a prepared corpus: read its info and tokenizer now, its splits on first use.

    Raises:
        DataError: There is no corpus, or it is damaged.
    """
    path = Path(path)
    recover(path)
    if not (path / INFO_FILE).is_file():
        raise DataError(f"no prepared corpus in {path}; make one with: sritool preprocess")
    try:
        info, files = parse_info(path, (path / INFO_FILE).read_text(encoding="utf-8"))
        tokenizer = _read_tokenizer(path, files)
        if tokenizer.kind != info.tokenizer or len(tokenizer) != info.vocabulary + UNK:
            raise ValueError("its vocabulary is not the one in corpus.json")
    except (OSError, ValueError, RecursionError, CheckpointError) as error:
        raise _damaged(path, error) from error
    return Corpus(path, info, tokenizer, files)


def _read_tokenizer(folder: Path, files: Mapping[str, str]) -> Tokenizer:
    has_model = (folder / MODEL_FILE).is_file()
    _check_digests(folder, (TOKENIZER_FILE, MODEL_FILE)[: 1 + has_model], files)
    state = json.loads((folder / TOKENIZER_FILE).read_text(encoding="utf-8"))
    if not isinstance(state, dict):
        raise ValueError(f"{TOKENIZER_FILE} is not an object")
    model = {"model": (folder / MODEL_FILE).read_bytes()} if has_model else {}
    return tokenizer_from_state(state | model)


def _check_digests(folder: Path, names: Iterable[str], files: Mapping[str, str]) -> None:
    """Raises: ValueError if a file is not the one that was written."""
    for name in names:
        if digest_of(folder / name) != files.get(name):
            raise ValueError(f"its file {name} is not the one that was written")


def content_hash(tokenizer: Tokenizer, splits: Mapping[str, Split], labels: Sequence[str]) -> str:
    """Return the SHA-256 of a corpus's content, in hexadecimal; the order of its splits does not matter."""
    digest = hashlib.sha256()

    def add(part: bytes) -> None:
        digest.update(len(part).to_bytes(8, "little"))
        digest.update(part)

    def add_numbers(array: npt.NDArray[Any]) -> None:
        digest.update((len(array) * array.dtype.itemsize).to_bytes(8, "little"))
        for piece in pieces_of(array):
            digest.update(np.ascontiguousarray(piece).view(np.uint8).data)

    state = tokenizer.state()
    model = state.pop("model", b"")
    add(json.dumps([state, list(labels)], sort_keys=True).encode())
    add(model)
    for name in sorted(splits):
        split = splits[name]
        add(name.encode())
        for array in (split.ids, split.offsets, split.words):
            add_numbers(array)
        add_numbers(np.zeros(0, np.int64) if split.labels is None else split.labels)
    return digest.hexdigest()


def write_corpus(
    folder: Path, tokenizer: Tokenizer, info: CorpusInfo, files: Mapping[str, SplitFiles]
) -> None:
    """Write a corpus into a folder that holds only the files of its splits; ``corpus.json`` comes last.

    Raises:
        OSError: The corpus cannot be written.
    """
    for file in files.values():
        file.finish(info)
    write_json(folder / "dataset_dict.json", {"splits": [*files]})
    state = tokenizer.state()
    if "model" in state:
        (folder / MODEL_FILE).write_bytes(state.pop("model"))
    write_json(folder / TOKENIZER_FILE, state)
    parts = [*sorted(folder.glob("*/*.arrow")), folder / TOKENIZER_FILE, folder / MODEL_FILE]
    digests = {path.relative_to(folder).as_posix(): digest_of(path) for path in parts if path.is_file()}
    (folder / INFO_FILE).write_text(info.to_json(digests), encoding="utf-8")


def is_unreadable(error: BaseException | None) -> bool:
    """Return whether the system refused to read an existing file, which is not damage."""
    return isinstance(error, OSError) and error.errno not in (None, errno.ENOENT, errno.ENOTDIR)


def _damaged(path: Path, error: Exception) -> DataError:
    if isinstance(error, OSError) and is_unreadable(error):
        return DataError(f"cannot read the prepared corpus in {path} ({error.strerror}); {advice_on(error)}")
    reason = " ".join(str(error).split())[:150] or type(error).__name__
    return DataError(
        f"the prepared corpus in {path} is damaged ({reason}); make it again with sritool preprocess"
    )

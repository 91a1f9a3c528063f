"""Prepares a corpus: encodes a source and stores it atomically in ``data/NAME/``."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from sritool.data.corpora.named import named_source
from sritool.data.corpus_info import CorpusInfo, OtherVersionError
from sritool.data.options import PrepareOptions
from sritool.data.prepare import Prepared, prepare
from sritool.data.sources import Source
from sritool.data.staged_folder import staged
from sritool.data.store import INFO_FILE, OWN_FILES, Corpus, is_unreadable, load_corpus, write_corpus
from sritool.data.tokenizer import UNK, Tokenizer
from sritool.errors import DataError, UsageError

DEFAULT_DATA_DIR = Path("data")
SHOWN_WORDS, SHOWN_SENTENCES = 10, 2
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


@dataclass(frozen=True)
class PreparedCorpus:
    """Result of ``preprocess_corpus``."""

    path: Path  # the corpus's folder
    info: CorpusInfo  # its content
    fresh: bool  # whether it was written; False if the same corpus, made in the same way, was already stored
    seconds: float  # duration
    frequent: tuple[str, ...] = ()  # most frequent words or pieces of train, in descending order
    examples: tuple[str, ...] = ()  # some prepared sentences of train


def preprocess_corpus(
    name: str,
    source: Source | None = None,
    options: PrepareOptions | None = None,
    data_dir: Path = DEFAULT_DATA_DIR,
    force: bool = False,
    tokenizer: Tokenizer | None = None,
    workers: int = 1,
) -> PreparedCorpus:
    """Prepare a corpus and store it as ``data_dir/name``.

    Args:
        name: The corpus's name.
        source: Source of its text; None: the built-in corpus `name`.
        options: How it is encoded; None: the source's own defaults.
        data_dir: The folder of all corpora.
        force: Replace a stored corpus of this name that has other content.
        tokenizer: A vocabulary to use unchanged; None: learn one from train.
        workers: Processes that cut text into words or pieces; the result does not depend on their number.

    Raises:
        UsageError: The name belongs to a corpus with other content, or to a folder that is not a corpus.
        DataError: The text cannot be used.
        SritoolError: `data_dir` cannot be written to.
    """
    started = time.perf_counter()
    check_corpus_name(name)
    source = source or named_source(name)
    options = options or source.options
    if name == "ptb" and options.tokenizer != "word":
        raise UsageError(
            "ptb is cut into words already, and pieces would lose its <unk>; use --tokenizer word"
        )
    target = data_dir / name
    fresh, damage = True, tuple[str, ...]()

    def is_new(folder: Path) -> bool:
        nonlocal fresh, damage
        try:
            stored = _stored_info(target, prepared.info.content_hash, force)
        except DataError as error:
            if is_unreadable(error.__cause__):
                raise
            stored, damage = None, ("replaced a damaged corpus",)
        fresh = stored != prepared.info
        if fresh:
            _require_replaceable(target, folder, stored, prepared.info, force)
        return fresh

    with staged(target, is_new) as folder:
        prepared = prepare(name, source.read(), options, data_dir, tokenizer, folder, workers)
        write_corpus(folder, prepared.tokenizer, prepared.info, prepared.files)
        if name == "tiny":  # also as text, as in the repository's data/tiny
            from sritool.data.corpora.tiny import readable_files

            for file, text in readable_files().items():
                (folder / file).write_text(text, encoding="utf-8")
    shown = _most_frequent(prepared), _first_sentences(prepared)
    info = replace(prepared.info, notes=(*prepared.info.notes, *damage))
    return PreparedCorpus(target, info, fresh, time.perf_counter() - started, *shown)


def tiny_in_memory() -> Corpus:
    """Generate the bundled corpus in memory, without storing it."""
    source = named_source("tiny")
    prepared = prepare("tiny", source.read(), source.options)
    return Corpus(DEFAULT_DATA_DIR / "tiny", prepared.info, prepared.tokenizer, splits={**prepared.splits})


def _most_frequent(prepared: Prepared) -> tuple[str, ...]:
    counts = prepared.splits["train"].counts(len(prepared.tokenizer))
    counts[:UNK] = 0
    ids = np.argsort(-counts, kind="stable")[: 2 * SHOWN_WORDS]  # a piece may be only a space
    words = [prepared.tokenizer.decode([int(index)]) for index in ids if counts[index]]
    return tuple([word for word in words if word][:SHOWN_WORDS])


def _first_sentences(prepared: Prepared) -> tuple[str, ...]:
    train = prepared.splits["train"]
    chosen = range(min(SHOWN_SENTENCES, len(train)))
    return tuple(prepared.tokenizer.decode(train.targets(index).tolist()) for index in chosen)


def check_corpus_name(name: str) -> None:
    """Raise a UsageError if `name` is not a valid corpus name."""
    if not _NAME.fullmatch(name):
        raise UsageError(
            f"{name!r} cannot name a corpus; use letters, digits, '.', '_' and '-', a letter or digit first"
        )


def _stored_info(target: Path, content: str, force: bool) -> CorpusInfo | None:
    """Return the corpus stored there, or None.

    Its sentences are not read if `force` replaces it by other `content` in any case, so that two corpora are never in
    memory at once.

    Raises: DataError if it is damaged or cannot be read; UsageError if another version of sritool made it and `force`
    is not set.
    """
    if not (target / INFO_FILE).exists():
        return None
    try:
        corpus = load_corpus(target)
        if not force or corpus.info.content_hash == content:
            for split in corpus.info.splits:
                corpus.split(split)
    except OtherVersionError as error:
        if force:
            return None
        raise UsageError(
            f"{target} holds a corpus that another version of sritool made; replace it with --force, or choose "
            "another --name"
        ) from error
    return corpus.info


def _require_replaceable(
    target: Path, new: Path, stored: CorpusInfo | None, info: CorpusInfo, force: bool
) -> None:
    """Raises: UsageError if the folder to replace holds a corpus with other content, or files that are not ours.

    Our files are those of the store, and those that the new folder has too, if their content is equal or they belong
    to a ``stored`` corpus.
    """
    if stored and stored.content_hash != info.content_hash and not force:
        raise UsageError(f"{target} holds another corpus; replace it with --force, or choose another --name")
    if not target.exists():
        return
    if not target.is_dir():
        raise UsageError(f"{target} is a file; move it away, or choose another --name or --data-dir")
    for path in sorted(target.iterdir()):
        twin = new / path.name
        ours = twin.is_file() and path.is_file() and (stored or path.read_bytes() == twin.read_bytes())
        if path.name not in OWN_FILES and not ours:
            raise UsageError(
                f"{path} was not written by sritool; move it away, or choose another --name or --data-dir"
            )

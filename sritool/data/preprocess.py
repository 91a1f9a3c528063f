"""Prepare a corpus: choose the source, encode it, and store it in ``data/NAME/`` whole or not at all."""

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
    """What ``preprocess_corpus`` did."""

    path: Path  # the corpus's folder
    info: CorpusInfo  # what is in it
    fresh: bool  # whether it was written; False where the stored corpus was the same already, made in the same way
    seconds: float  # time that it took
    frequent: tuple[str, ...] = ()  # the most frequent words or pieces of train, the first one first
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
        source: Where its text comes from; None: the built-in corpus `name`.
        options: How it is encoded; None: the source's own defaults.
        data_dir: The folder of all corpora.
        force: Replace a stored corpus of this name with other content.
        tokenizer: A vocabulary to take as it is; None: one is learnt from train.
        workers: Processes that cut text into words or pieces; the result is the same.

    Raises:
        UsageError: A corpus with other content, or a folder that is no corpus, has the name.
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
        if name == "tiny":  # as text too, as the repository shows it in data/tiny
            from sritool.data.corpora.tiny import readable_files

            for file, text in readable_files().items():
                (folder / file).write_text(text, encoding="utf-8")
    shown = _most_frequent(prepared), _first_sentences(prepared)
    info = replace(prepared.info, notes=(*prepared.info.notes, *damage))
    return PreparedCorpus(target, info, fresh, time.perf_counter() - started, *shown)


def tiny_in_memory() -> Corpus:
    """Return the bundled corpus, made anew and stored nowhere."""
    source = named_source("tiny")
    prepared = prepare("tiny", source.read(), source.options)
    return Corpus(DEFAULT_DATA_DIR / "tiny", prepared.info, prepared.tokenizer, splits={**prepared.splits})


def _most_frequent(prepared: Prepared) -> tuple[str, ...]:
    counts = prepared.splits["train"].counts(len(prepared.tokenizer))
    counts[:UNK] = 0
    ids = np.argsort(-counts, kind="stable")[: 2 * SHOWN_WORDS]  # a piece may be nothing but a space
    words = [prepared.tokenizer.decode([int(index)]) for index in ids if counts[index]]
    return tuple([word for word in words if word][:SHOWN_WORDS])


def _first_sentences(prepared: Prepared) -> tuple[str, ...]:
    train = prepared.splits["train"]
    chosen = range(min(SHOWN_SENTENCES, len(train)))
    return tuple(prepared.tokenizer.decode(train.targets(index).tolist()) for index in chosen)


def check_corpus_name(name: str) -> None:
    """Raise a UsageError unless `name` can be the name of a folder of ours."""
    if not _NAME.fullmatch(name):
        raise UsageError(
            f"{name!r} cannot name a corpus; use letters, digits, '.', '_' and '-', a letter or digit first"
        )


def _stored_info(target: Path, content: str, force: bool) -> CorpusInfo | None:
    """Return the corpus stored there, or None.

    Its sentences are read only where that decides: not where `force` replaces it by other `content` in any case, so
    that two corpora are not in memory at once.

    Raises: DataError if it is damaged or cannot be read; UsageError if it is of another version of sritool, which is
    not damage, unless `force` replaces it.
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
    """Raises: UsageError if the folder to be replaced holds a corpus of other content, or files that are not ours.

    Ours are those of the store, and any that the new folder has too: with the same content, or written by us
    before as part of a ``stored`` corpus.
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
                f"{path} is no file of ours; move it away, or choose another --name or --data-dir"
            )

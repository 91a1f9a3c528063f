"""Prepare a corpus: choose the source, encode it, and store it in ``data/NAME/`` whole or not at all."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from sritool.data.corpora.named import NAMED, check_name, named_source
from sritool.data.corpus_info import CorpusInfo, OtherVersionError
from sritool.data.options import PrepareOptions
from sritool.data.prepare import prepare
from sritool.data.readers import SUFFIXES, suffix_of
from sritool.data.sources import (
    SPLIT_WORDS,
    STDIN,
    FileOptions,
    Source,
    assign,
    file_source,
    folder_source,
)
from sritool.data.staged_folder import staged
from sritool.data.store import INFO_FILE, OWN_FILES, load_corpus, write_corpus
from sritool.errors import DataError, UsageError

DEFAULT_DATA_DIR = Path("data")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


@dataclass(frozen=True)
class PreparedCorpus:
    """What ``preprocess_corpus`` did. ``fresh`` is False where the stored corpus was the same already."""

    path: Path
    info: CorpusInfo
    fresh: bool
    seconds: float


@dataclass(frozen=True)
class Inputs:
    """The words of the command line that say what to prepare."""

    names: Sequence[str] = ()  # a built-in corpus, or files, or one folder, or "-"
    splits: Mapping[str, Path | Sequence[Path]] = field(default_factory=dict)  # --train, --valid, --test
    folder: Path | None = None  # --from
    name: str | None = None  # --name


def preprocess_corpus(
    name: str,
    source: Source | None = None,
    options: PrepareOptions | None = None,
    data_dir: Path = DEFAULT_DATA_DIR,
    force: bool = False,
) -> PreparedCorpus:
    """Prepare a corpus and store it as ``data_dir/name``.

    Args:
        name: The corpus's name.
        source: Where its text comes from; None: the built-in corpus `name`.
        options: How it is encoded; None: the source's own defaults.
        data_dir: The folder of all corpora.
        force: Replace a stored corpus of this name with other content.

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
    same: CorpusInfo | None = None  # as prepared, and stored already

    def is_new(folder: Path) -> bool:
        """Asked before writing, and again when no other process can put another corpus there."""
        nonlocal same
        stored = _stored_info(target, prepared.info.content_hash, force)
        same = stored if stored and stored.content_hash == prepared.info.content_hash else None
        if stored is not None and same is None and not force:
            raise UsageError(
                f"{target} holds another corpus; replace it with --force, or choose another --name"
            )
        if same is None and (folder / INFO_FILE).exists():
            _require_own(target, folder, stored is not None)
        return same is None

    def write(folder: Path) -> None:
        write_corpus(folder, prepared.tokenizer, prepared.splits, prepared.info)
        if name == "tiny":
            _write_readable(folder)

    def settle(folder: Path) -> bool:
        if not is_new(folder):
            return False
        if not (
            folder / INFO_FILE
        ).exists():  # the same was stored, and another process has replaced it since
            write(folder)
        return True

    with staged(target, settle) as folder:
        prepared = prepare(name, source.read(), options, data_dir)
        if is_new(folder):
            write(folder)
    return PreparedCorpus(target, same or prepared.info, same is None, time.perf_counter() - started)


def choose_source(inputs: Inputs, options: FileOptions | None = None) -> tuple[str, Source]:
    """Return the corpus's name and source that the words of the command line mean.

    A single word that is a built-in name means that corpus, even where a file is called so; any other word is
    a file, ``-`` for standard input, or a folder of files whose names tell their splits.

    Raises:
        UsageError: They contradict each other, name nothing or lack ``--name``.
    """
    options = options or FileOptions()
    words = list(inputs.names)
    if len(words) == 1 and words[0] in NAMED:
        return _choose_named(words[0], inputs, options)
    if len(words) == 1 and inputs.folder is None and not inputs.splits and _looks_like_name(words[0]):
        check_name(words[0])
    if inputs.name in NAMED:
        raise UsageError(f"{inputs.name} is a built-in corpus; choose another --name")
    source = _choose_files(words, inputs, options)
    if inputs.name is None:
        raise UsageError("a corpus of your own needs a name; give it one with --name NAME")
    check_corpus_name(inputs.name)
    return inputs.name, source


def with_overrides(options: PrepareOptions, given: Mapping[str, object]) -> PrepareOptions:
    """Return `options` with the fields that were `given` (not None).

    A change from words to pieces drops what was meant for words.

    Raises:
        UsageError: ``min_count`` is given for pieces.
    """
    chosen = {name: value for name, value in given.items() if value is not None}
    if chosen.get("tokenizer", options.tokenizer) != "word":
        if "min_count" in chosen:
            raise UsageError("--min-count is for --tokenizer word; pieces take --vocab-size")
        options = replace(options, min_count=None, vocab_size=None)
    return replace(options, **chosen)  # type: ignore[arg-type]


def check_corpus_name(name: str) -> None:
    """Check that `name` can be the name of a folder of ours.

    Raises:
        UsageError: It cannot.
    """
    if not _NAME.fullmatch(name):
        raise UsageError(
            f"{name!r} cannot name a corpus; use letters, digits, '.', '_' and '-', a letter or digit first"
        )


def _choose_named(word: str, inputs: Inputs, options: FileOptions) -> tuple[str, Source]:
    if inputs.splits:
        raise UsageError(
            f"{word} is a built-in corpus; give its files with --from DIR, or leave {word} out and add --name"
        )
    if options.given:
        raise UsageError(f"{options.given[0]} is for files of your own; leave it out with {word}")
    name = inputs.name or word
    if name in NAMED and name != word:
        raise UsageError(f"{name} is another built-in corpus; choose another --name")
    check_corpus_name(name)
    if name == "tiny" and options.seed:
        raise UsageError("tiny is the sample of seed 0; give another one a name of its own: --name NAME")
    return name, named_source(word, inputs.folder, options.seed)


def _choose_files(words: Sequence[str], inputs: Inputs, options: FileOptions) -> Source:
    ways = [bool(words), bool(inputs.splits), inputs.folder is not None]
    if sum(ways) != 1:
        what = "more than one of these" if sum(ways) else "nothing to prepare"
        raise UsageError(
            f"{what}; give a built-in name ({', '.join(NAMED)}), files, --from DIR, or --train FILE"
        )
    if inputs.folder is not None:
        return folder_source(inputs.folder, options)
    if inputs.splits:
        return file_source(inputs.splits, options)
    paths = [Path(word) for word in words]
    if len(paths) > 1 and STDIN in paths:
        raise UsageError("'-' stands alone; with files beside it, say which split it is: --train - …")
    if len(paths) == 1 and paths[0].is_dir():
        return folder_source(paths[0], options)
    return file_source(assign(paths), options)


def _looks_like_name(word: str) -> bool:
    path = Path(word)
    return word != "-" and not path.exists() and path.name == word and suffix_of(path) not in SUFFIXES


def _stored_info(target: Path, content: str, force: bool) -> CorpusInfo | None:
    """The corpus stored there, or None; a damaged one counts as none and may be replaced.

    Its sentences are read only where that decides: not where `force` replaces it by other `content` in any case, so
    that two corpora are not in memory at once.

    Raises: UsageError if it is of another version of sritool, which is not damage, unless `force` replaces it.
    """
    if not (target / INFO_FILE).exists():
        return None
    try:
        corpus = load_corpus(target)
        if not force or corpus.info.content_hash == content:
            for split in SPLIT_WORDS:
                corpus.split(split)
    except OtherVersionError as error:
        if force:
            return None
        raise UsageError(
            f"{target} holds a corpus that another version of sritool made; replace it with --force, or choose "
            "another --name"
        ) from error
    except DataError:
        return None
    return corpus.info


def _require_own(target: Path, new: Path, stored: bool) -> None:
    """Raises: UsageError if the folder to be replaced holds files that are not ours.

    Ours are those of the store, and any that the new folder has too: with the same content, or written by us
    before as part of a ``stored`` corpus.
    """
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


def _write_readable(folder: Path) -> None:
    """The bundled corpus for reading, ``label<TAB>text``, as the repository shows it in ``data/tiny/``."""
    from sritool.data.corpora.tiny import readable_files

    for name, text in readable_files().items():
        (folder / name).write_text(text, encoding="utf-8")

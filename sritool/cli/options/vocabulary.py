"""A given vocabulary, used as it is in place of one learnt from the training text."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sritool.cli.options.models import find_named
from sritool.errors import CheckpointError, UsageError, quoted, suggestion

if TYPE_CHECKING:
    from sritool.data.tokenizer import Tokenizer

LEARNT = ("tokenizer", "vocab_size", "min_count")
"""Options that say how a vocabulary is learnt; the first one may also name a model."""


def given_vocabulary(
    like: str | None, vocab: Path | None, asked: Mapping[str, object], data_dir: Path, runs_dir: Path
) -> tuple[Tokenizer | None, dict[str, Any]]:
    """Return the named vocabulary, and the preprocessing options that go with it.

    Args:
        like: A prepared corpus, a run or a checkpoint.
        vocab: A file of words.
        asked: The options that were given, by name; None: not given.
        data_dir: The folder of all corpora.
        runs_dir: The folder of all runs.

    Raises:
        UsageError: Both are named, or options for learning a vocabulary are given too.
        CheckpointError: There is no such corpus or run.
        DataError: The file is not a vocabulary or model.
    """
    from sritool.data.options import TOKENIZERS
    from sritool.data.tokenizer import OWN_MODEL
    from sritool.data.vocabulary import read_pieces, read_words

    model = asked["tokenizer"]
    learnt = [f"--{name.replace('_', '-')}" for name in LEARNT if asked[name] is not None]
    taken = [name for name, value in (("--like", like), ("--vocab", vocab)) if value is not None]
    if isinstance(model, str) and model not in TOKENIZERS:
        if not Path(model).exists() and not model.endswith(".model"):
            raise UsageError(
                f"--tokenizer {quoted(model)}: there is no such tokenizer{suggestion(model, TOKENIZERS)}; "
                "for a SentencePiece model, give the path of its .model file"
            )
        if others := [*taken, *learnt[1:]]:
            raise UsageError(f"--tokenizer {model} uses a model as it is; leave {others[0]} out")
        return read_pieces(Path(model)), {"tokenizer": OWN_MODEL}
    if len(taken) == 2:
        raise UsageError("--like and --vocab both name the vocabulary; leave one of them out")
    if taken and learnt:
        raise UsageError(f"{taken[0]} uses a vocabulary as it is; leave {learnt[0]} out")
    if like is not None:
        return _like(like, data_dir, runs_dir)
    if vocab is not None:
        return read_words(vocab), {"tokenizer": "word"}
    return None, {}


def _like(name: str, data_dir: Path, runs_dir: Path) -> tuple[Tokenizer, dict[str, Any]]:
    """The tokenizer of a corpus or a run, and how its text was cleaned and cut."""
    from sritool.data.store import find_corpus, load_corpus
    from sritool.runs.checkpoint import load_checkpoint

    kept = ("lowercase", "split_punctuation", "max_length", "chunk", "drop_long")
    folder = find_corpus(name, data_dir)
    if folder is not None:
        corpus = load_corpus(folder)
        tokenizer, made = corpus.tokenizer, vars(corpus.info)
    else:
        try:
            checkpoint = load_checkpoint(find_named(Path(name), runs_dir))
        except CheckpointError as error:
            raise CheckpointError(f"--like {name} is not a prepared corpus, and {error}") from error
        tokenizer, made = checkpoint.tokenizer, vars(checkpoint.corpus)
    return tokenizer, {
        "tokenizer": tokenizer.kind,
        **{option: made[option] for option in kept if option in made},
    }

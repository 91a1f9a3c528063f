"""The options of `sritool preprocess` that determine how text becomes ids."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from sritool.data.tokenizer import OWN_MODEL
from sritool.errors import UsageError

TOKENIZERS = ("word", "unigram", "bpe")
DEFAULT_MAX_LENGTH = 200


@dataclass(frozen=True)
class PrepareOptions:
    """How text becomes ids; every field is kept in ``corpus.json``.

    Raises:
        UsageError: A value is not allowed.
    """

    # "word"; "unigram" or "bpe" for SentencePiece pieces; "sentencepiece" for the pieces of a given model.
    tokenizer: str = "word"
    # Largest number of words with <unk>, or of pieces with the special ones. None: all words, or 8,000 pieces.
    vocab_size: int | None = None
    # How often a word must occur in train. None: twice, so that words met once teach the model what an unknown word
    # looks like; or once, if the text itself marks unknown words.
    min_count: int | None = None
    max_length: int = DEFAULT_MAX_LENGTH  # most words or pieces in a sentence, </s> not counted
    lowercase: bool = False  # convert all text to lower case
    split_punctuation: bool = False  # separate punctuation from words: "runs." becomes "runs ."
    drop_long: bool = False  # drop longer sentences instead of cutting them
    chunk: bool = False  # divide a longer sentence into several instead of cutting it

    def __post_init__(self) -> None:
        if self.tokenizer not in (*TOKENIZERS, OWN_MODEL):
            raise UsageError(f"no tokenizer {self.tokenizer!r}; choose one of {', '.join(TOKENIZERS)}")
        if self.chunk and self.drop_long:
            raise UsageError("long lines are cut into sentences or dropped, not both; leave one out")
        if self.max_length < 1 or (self.min_count is not None and self.min_count < 1):
            raise UsageError("--max-length and --min-count are at least 1; give a larger number")
        if self.vocab_size is not None and self.vocab_size < 2:
            raise UsageError("--vocab-size is at least 2; give a larger number")


def with_overrides(options: PrepareOptions, given: Mapping[str, object]) -> PrepareOptions:
    """Return the options of a corpus with the fields in `given` replaced, except those that are None.

    A change from words to pieces drops the settings meant for words.

    Raises:
        UsageError: ``min_count`` is given for pieces.
    """
    chosen = {name: value for name, value in given.items() if value is not None}
    if chosen.get("tokenizer", options.tokenizer) != "word":
        if "min_count" in chosen:
            raise UsageError("--min-count is for --tokenizer word; pieces take --vocab-size")
        options = replace(options, min_count=None, vocab_size=None)
    return replace(options, **chosen)  # type: ignore[arg-type]

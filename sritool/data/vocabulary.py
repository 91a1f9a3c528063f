"""The vocabulary of a corpus, learnt from train: its most frequent words, or a SentencePiece model."""

from __future__ import annotations

import io
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import chain, compress
from pathlib import Path
from typing import Any

import numpy as np

from sritool.data.blocks import read_blocks
from sritool.data.normalise import words_are_separated
from sritool.data.options import PrepareOptions
from sritool.data.raw_lines import RawLines
from sritool.data.readers import read_sentences
from sritool.data.tokenizer import (
    CONTROL,
    LONGEST_WORD,
    OWN_MODEL,
    SPECIALS,
    UNK,
    SentencePieceTokenizer,
    WordTokenizer,
)
from sritool.errors import DataError, UsageError

DEFAULT_PIECES = 8_000
MOST_TO_LEARN = 1_000_000  # most sentences to train SentencePiece on; its memory grows with them
MARKED = SPECIALS[UNK]
_NUMBER = re.compile(r"-?\d[\d.,e+-]*")

UNSEPARATED = "in a script without spaces between words"
CUT_IT = "cut it into pieces: --tokenizer unigram"


def learn_words(raw: RawLines, options: PrepareOptions) -> tuple[WordTokenizer, int]:
    """Return the vocabulary of train, and the minimum count of its words; text that is left out is not counted.

    Raises:
        DataError: No word occurs often enough, or every sentence is dropped.
    """
    counts = raw.word_counts("train")
    if not counts.any():
        raise _none_kept(options)
    marked = MARKED in raw.word_numbers and counts[raw.word_numbers[MARKED]] > 0
    fewest = options.min_count or (1 if marked else 2)
    often = counts >= fewest
    met = zip(compress(raw.word_numbers, often), counts[often].tolist(), strict=True)
    if not often.any() and not words_are_separated(raw.word_numbers):
        raise DataError(f"the training text is {UNSEPARATED}; {CUT_IT}")
    return ranked_words(met, options.vocab_size, fewest), fewest


def read_words(path: Path) -> WordTokenizer:
    """Read a vocabulary with one word per line; a number after the word, such as a count, is ignored.

    The special words are added, whether or not the file has them.

    Raises:
        DataError: The file has no word, a word twice, or several words on a line.
    """
    lines = [line.split() for line in read_sentences(path, form="text").texts]
    for number, line in enumerate(lines, 1):
        if len(line) > 2 or not all(map(_NUMBER.fullmatch, line[1:])):
            raise DataError(
                f"{path} line {number} has more than one word; give each word one line, with at most a count after it"
            )
    words = [line[0] for line in lines if line and line[0] not in SPECIALS]
    repeated = [word for word, count in Counter(words).items() if count > 1]
    if repeated:
        raise DataError(f"{path} has the word {repeated[0]!r} more than once; give each word one line")
    if not words:
        raise DataError(f"{path} has no word; give one word per line")
    if any(len(word) > LONGEST_WORD or CONTROL.search(word) for word in words):
        raise DataError(
            f"{path} has a word with control characters, or of more than {LONGEST_WORD} characters; leave it out"
        )
    return WordTokenizer([*SPECIALS, *words])


def read_pieces(path: Path) -> SentencePieceTokenizer:
    """Read a SentencePiece model that is to be used unchanged.

    Raises:
        UsageError: The path is a folder.
        DataError: The file is missing, or is not such a model.
    """
    try:
        tokenizer = SentencePieceTokenizer(OWN_MODEL, b"".join(read_blocks(path)))
        tokenizer.check_pieces()
    except DataError as error:
        if error.__cause__ is None or isinstance(error.__cause__, OSError):
            raise
        raise DataError(
            f"{path} is not a SentencePiece model; give a .model file that spm_train or sritool wrote"
        ) from error
    return tokenizer


def ranked_words(
    counts: Iterable[tuple[str, int]], vocab_size: int | None = None, min_count: int = 1
) -> WordTokenizer:
    """Return a vocabulary of the most frequent words; equally frequent ones are in alphabetical order.

    `counts` has (word, count) pairs. `vocab_size` includes ``<unk>``; None: all words.

    Raises:
        DataError: No word is left.
    """
    often = [
        (-count, word)
        for word, count in counts
        if count >= min_count and 0 < len(word) <= LONGEST_WORD and word not in SPECIALS
    ]
    if not often:
        raise DataError(f"no word occurs {min_count} times or more in the training text; lower --min-count")
    often.sort()
    kept = often if vocab_size is None else often[: max(vocab_size - 1, 0)]
    return WordTokenizer([*SPECIALS, *(word for _, word in kept)])


def learn_pieces(raw: RawLines, options: PrepareOptions) -> SentencePieceTokenizer:
    """Train a SentencePiece model on train, or on a seeded choice of its lines if there are very many.

    Words after the first `max_length` of a line are not used, as each has at least one piece.

    Raises:
        UsageError: The text marks unknown words, which pieces would spell out.
        DataError: SentencePiece cannot train a model on the text, or every sentence is dropped.
    """

    def texts() -> Iterable[str]:
        return chain.from_iterable(lines.content.to_pylist() for lines in raw.lines("train"))

    if any(MARKED in text.split() for text in texts() if MARKED in text):
        raise UsageError(
            "the text marks unknown words as <unk>, which pieces would spell out; use --tokenizer word"
        )
    chosen, total = texts(), raw.sentences["train"]
    if total > MOST_TO_LEARN:
        learnt = np.zeros(total, dtype=bool)
        learnt[np.random.default_rng(0).choice(total, MOST_TO_LEARN, replace=False)] = True
        chosen = compress(chosen, learnt)
    if raw.longest["train"] > options.max_length and not options.chunk:
        chosen = _kept_texts(chosen, options)
    chosen = iter(chosen)
    first = next(chosen, None)
    if first is None:
        raise _none_kept(options)
    return train_pieces(chain([first], chosen), options.tokenizer, options.vocab_size or DEFAULT_PIECES)


def _kept_texts(texts: Iterable[str], options: PrepareOptions) -> Iterator[str]:
    """Yield the first `max_length` words of each text; with `drop_long`, only texts that have no more."""
    for text in texts:
        words = text.split(" ", options.max_length)
        if len(words) <= options.max_length:
            yield text
        elif not options.drop_long:
            yield " ".join(words[:-1])


def _none_kept(options: PrepareOptions) -> DataError:
    return DataError(
        f"train has no sentence within --max-length {options.max_length}; raise it, or cut with --truncate"
    )


def train_pieces(lines: Iterable[str], kind: str, vocab_size: int) -> SentencePieceTokenizer:
    """Train a SentencePiece model of kind ``unigram`` or ``bpe``; equal lines give the same model.

    `vocab_size` includes the four special pieces; the model has fewer if the text does not allow as many.

    Raises:
        DataError: The text has more distinct characters than that, or is otherwise unsuitable.
    """
    from sentencepiece import SentencePieceTrainer

    model = io.BytesIO()
    special: dict[str, Any] = {}
    for index, name in enumerate(("pad", "bos", "eos", "unk")):
        special |= {f"{name}_id": index, f"{name}_piece": SPECIALS[index]}
    try:
        SentencePieceTrainer.Train(
            sentence_iterator=iter(lines),
            model_writer=model,
            model_type=kind,
            vocab_size=vocab_size,
            hard_vocab_limit=False,
            normalization_rule_name="identity",
            character_coverage=1.0,
            num_threads=1,
            max_sentence_length=1 << 30,  # bytes; by default, lines over 4,192 are left out in silence
            minloglevel=2,
            unk_surface=MARKED,
            **special,
        )
    except (RuntimeError, ValueError) as error:
        raise DataError(_why_no_pieces(str(error), kind, vocab_size)) from error
    return SentencePieceTokenizer(kind, model.getvalue())


def _why_no_pieces(reason: str, kind: str, vocab_size: int) -> str:
    """Explain why SentencePiece fails; its own messages name options that sritool does not have."""
    needed = re.search(r"required_chars|too small|smaller than required", reason, re.IGNORECASE)
    if needed:
        least = [int(number) for number in re.findall(r"\d+", reason) if int(number) > vocab_size]
        advice = f"--vocab-size {min(least)} or more" if least else "a larger --vocab-size"
        return f"the text has more different characters than {vocab_size:,} {kind} pieces can cover; give {advice}"
    return (
        f"SentencePiece cannot make {vocab_size:,} {kind} pieces of this text, which may be too short; "
        "give more text, another --vocab-size or --tokenizer word"
    )

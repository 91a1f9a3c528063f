"""Readers that turn the files or the hub set of each built-in corpus into the sentences of one split."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from sritool.data.blocks import read_blocks
from sritool.data.normalise import split_punctuation, without_escapes
from sritool.data.readers import read_files, read_labelled, read_sentences, read_text
from sritool.data.sentences import Sentences, in_memory
from sritool.errors import DataError

Reader = Callable[[Sequence[Path]], Sentences]

SENTIMENTS = {"0": "negative", "1": "positive"}
LONGEST_REVIEW, LONGEST_SENTENCE = 10, 15  # sentences and words; the limits of Shen et al. 2017
_SENTENCE = re.compile(r"[^.!?\n]+[.!?]*")


def plain(paths: Sequence[Path]) -> Sentences:
    """Return the lines of plain text."""
    return read_sentences(paths[0], "text")


def labelled(paths: Sequence[Path]) -> Sentences:
    """Return rows ``label<TAB>text``, or plain sentences if the first line has no tab."""
    return read_labelled(paths[0], "text")


def sentiment(paths: Sequence[Path]) -> Sentences:
    """Read like `labelled`, and replace the labels 0 and 1 by their names."""
    part = labelled(paths)
    labels = part.labels and [SENTIMENTS.get(label, label) for label in part.labels]
    return Sentences(part.texts, labels)


def polarity(paths: Sequence[Path]) -> Sentences:
    """Return the lines of files with one sentiment each, such as ``sentiment.train.0`` and ``sentiment.train.1``."""
    labels = [SENTIMENTS[path.name[-1]] for path in paths]
    return in_memory(read_files(paths, "text", file_labels=labels).chunks())


def answers_csv(paths: Sequence[Path]) -> Sentences:
    """Return rows ``"topic","title","content","answer"`` as raw text.

    Raises: DataError if the file has a header, by which only one of the columns would be read.
    """
    start = next(iter(read_blocks(paths[0])), b"").lstrip(b'\xef\xbb\xbf" ')
    if start[:5].lower() == b"topic":
        raise DataError(
            f"{paths[0]} begins with a header, which the official file lacks; remove its first line"
        )
    return read_sentences(paths[0], "csv")


def snli_jsonl(paths: Sequence[Path]) -> Sentences:
    """Return the sentences of the official pairs, each once."""
    return _snli_pairs(paths[0], 1, read_text(paths[0]).split("\n"), json.loads)


def snli_table(paths: Sequence[Path]) -> Sentences:
    """Return the sentences of the official tab-separated file, each once."""
    header, *rows = (line.rstrip("\r") for line in read_text(paths[0]).split("\n"))
    names = header.split("\t")
    return _snli_pairs(paths[0], 2, rows, lambda row: dict(zip(names, row.split("\t"), strict=True)))


def _snli_pairs(path: Path, first: int, lines: Iterable[str], parse: Callable[[str], Any]) -> Sentences:
    """Return the sentences of some lines; `first` is the number of the first line."""
    texts: list[str] = []
    for number, line in enumerate(lines, first):
        if not line.strip():
            continue
        try:
            pair = parse(line)
            texts += [pair["sentence1"], pair["sentence2"]]
        except (ValueError, KeyError, TypeError) as error:
            raise DataError(
                f"{path} line {number} is not an SNLI pair ({error}); get the file again"
            ) from error
    return _sentences(texts)


def _sentences(texts: Sequence[str]) -> Sentences:
    tokens = dict.fromkeys(split_punctuation(text).lower() for text in dict.fromkeys(texts))
    return Sentences([text for text in tokens if text])


def _hub_snli(rows: Any) -> Sentences:
    return _sentences([text for key in ("premise", "hypothesis") for text in rows[key][:]])


def _hub_yahoo(rows: Any) -> Sentences:
    keys = ("question_title", "question_content", "best_answer")
    columns = zip(*(rows[key][:] for key in keys), strict=True)
    texts = [without_escapes(" ".join(filter(None, row))) for row in columns]
    feature = rows.features["topic"]
    names = getattr(feature, "names", None)
    return Sentences(texts, [names[topic] if names else str(topic) for topic in rows["topic"][:]])


def _hub_yelp(rows: Any) -> Sentences:
    """Return short sentences of short reviews, with the sentiment of the review, as in Shen et al. 2017."""
    texts: list[str] = []
    labels: list[str] = []
    for review, label in zip(rows["text"][:], rows["label"][:], strict=True):
        for sentence in _short_sentences(review):
            texts.append(sentence)
            labels.append(SENTIMENTS[str(label)])
    return Sentences(texts, labels)


def _short_sentences(review: str) -> Iterator[str]:
    sentences = [text for text in _SENTENCE.findall(without_escapes(review)) if re.search(r"\w", text)]
    if len(sentences) <= LONGEST_REVIEW:
        tokens = (split_punctuation(text) for text in sentences)
        yield from (text for text in tokens if len(text.split()) <= LONGEST_SENTENCE)


HUB_READERS: dict[str, Callable[[Any], Sentences]] = {
    "ptb": lambda rows: Sentences(list(rows["sentence"][:])),
    "snli": _hub_snli,
    "yahoo": _hub_yahoo,
    "yelp": _hub_yelp,
}

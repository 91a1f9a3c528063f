"""What is done to text before it is cut into words or pieces."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt

# All control characters but white space that ends or parts words, and the byte order mark of a file that was
# joined to another one.
_CONTROL = re.compile("[\x00-\x08\x0e-\x1f\x7f-\x9f\ufeff]")
_BREAKS = re.compile(r"[\t-\r\u2028\u2029]")
# Words with their inner apostrophes and hyphens, numbers with their points, or one other character.
_PUNCTUATED = re.compile(r"<unk>|\w+(?:['’-]\w+|(?<=\d)[.,]\d+)*|[^\w\s]")


def split_punctuation(text: str) -> str:
    """Marks as words of their own: ``A dog runs.`` becomes ``A dog runs .``"""
    return " ".join(_PUNCTUATED.findall(text))


def without_control(text: str) -> str:
    """Control characters as spaces, so that no text can steer a terminal that shows it."""
    return _CONTROL.sub(" ", text)


def with_control(texts: Sequence[str]) -> npt.NDArray[np.bool_]:
    """Which sentences hold control characters; one search tells for nearly all text that none does."""
    found = np.zeros(len(texts), dtype=bool)
    if _CONTROL.search("\n".join(texts)):
        found[:] = [_CONTROL.search(text) is not None for text in texts]
    return found


def normalised(lines: Sequence[str], lowercase: bool, punctuation: bool, clean: bool) -> Sequence[str]:
    """Sentences without control characters, in small letters, with marks as words: each as asked for."""
    texts: Iterable[str] = lines
    if clean:
        texts = map(without_control, texts)
    if lowercase:
        texts = map(str.lower, texts)
    if punctuation:
        texts = map(split_punctuation, texts)
    return lines if texts is lines else list(texts)


def label_name(label: str) -> str:
    """A label as it is stored and shown: one line without control characters."""
    return _BREAKS.sub(" ", without_control(label)).strip()

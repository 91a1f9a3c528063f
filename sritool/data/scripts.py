"""Whether white space separates the words of a text, as it does not in Chinese, Japanese, Thai, Khmer and others."""

from __future__ import annotations

import re
from collections.abc import Iterable

# Han, kana, bopomofo; Thai, Lao, Tibetan, Burmese, Khmer. Korean has spaces.
_UNSPACED = re.compile(
    "[\u0e00-\u0fff\u1000-\u109f\u1780-\u17ff\u3040-\u312f\u3400-\u9fff\U00020000-\U0003ffff]"
)
_SHARE = 0.3  # of the characters
_LONGEST_WORD = 4.0  # characters on average: text that was cut into words has two or so


def words_are_separated(words: Iterable[str]) -> bool:
    """Return whether these are words, and not whole clauses of a script without spaces.

    Args:
        words: What stands between white space.
    """
    total = characters = unspaced = 0
    for word in words:
        found = len(_UNSPACED.findall(word))
        unspaced += found
        characters += len(word)
        total += found > 0
    return unspaced < _SHARE * characters or unspaced <= _LONGEST_WORD * total

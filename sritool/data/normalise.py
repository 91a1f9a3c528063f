"""Normalises text before it is cut into words or pieces, many sentences at once with pyarrow's kernels.

White space is what both `str.split` and Arrow's `utf8_split_whitespace` split on. Sentences are a
``pyarrow.StringArray``.
"""

from __future__ import annotations

import functools
import re
import unicodedata
from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt

from sritool.data.arrays import values_of

# All control characters except white space between words, and the byte order mark of a file appended to another.
_CONTROL = re.compile("[\x00-\x08\x0e-\x1f\x7f-\x9f\ufeff]")
_CONTROL_RE2 = r"[\x00-\x08\x0e-\x1f\x7f-\x{9f}\x{feff}]"
_HTML_BREAK = r"(?i:<br\s*/?>)"
_LINE_END = rf"\\r\\n|\\n|{_HTML_BREAK}"
_ESCAPE = rf'{_LINE_END}|\\"'
_BREAKS = re.compile(r"[\t-\r\u2028\u2029]")

# Han, kana, bopomofo; Thai, Lao, Tibetan, Burmese, Khmer. Korean has spaces.
_UNSPACED = re.compile(
    "[\u0e00-\u0fff\u1000-\u109f\u1780-\u17ff\u3040-\u312f\u3400-\u9fff\U00020000-\U0003ffff]"
)
_UNSPACED_SHARE = 0.3  # share of the characters
_LONGEST_UNSPACED = 4.0  # average characters per word; text already cut into words has about two


def words_are_separated(words: Iterable[str]) -> bool:
    """Return whether white space separates words, instead of clauses of a script without spaces."""
    total = characters = unspaced = 0
    for word in words:
        found = len(_UNSPACED.findall(word))
        unspaced += found
        characters += len(word)
        total += found > 0
    return unspaced < _UNSPACED_SHARE * characters or unspaced <= _LONGEST_UNSPACED * total


def split_punctuation(text: str) -> str:
    """Separate punctuation from words: ``A dog runs.`` becomes ``A dog runs .``"""
    return " ".join(_punctuated().findall(text))


@functools.cache
def _punctuated() -> re.Pattern[str]:
    """Words with inner apostrophes and hyphens, numbers with decimal points and commas, or any other character.

    Words have letters and digits, the marks that Unicode combines with them (such as vowel signs), and joiners.
    """
    marks = "".join(chr(code) for code in range(0x20000) if unicodedata.category(chr(code))[0] == "M")
    inside = rf"[\w\u200c\u200d{marks}]"
    return re.compile(rf"<unk>|{inside}+(?:['’-]{inside}+|(?<=\d)[.,]\d+)*|[^\w\s]")


def without_control(text: str) -> str:
    """Replace control characters by spaces, so that text cannot control a terminal that shows it."""
    return _CONTROL.sub(" ", text)


def without_escapes(text: str) -> str:
    r"""Replace written line ends (``\n``, ``<br />``) by a space, and ``\"`` by ``"``."""
    return re.sub(_ESCAPE, lambda found: '"' if found[0] == '\\"' else " ", text)


def unescaped(texts: Any, plain: bool) -> tuple[Any, int]:
    """Return `without_escapes` of each sentence, and the number of sentences that changed.

    `plain` sentences come from a format without escapes, or were decoded already. Their backslashes may be TeX and
    are kept; ``<br />`` is replaced all the same.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    data = texts.buffers()[2]
    raw = b"" if data is None else data.to_pybytes()
    if b"<" not in raw and (plain or b"\\" not in raw):
        return texts, 0
    rows = pc.match_substring_regex(texts, _HTML_BREAK if plain else _ESCAPE)
    count = pc.sum(rows.cast(pa.int64())).as_py() or 0
    if not count:
        return texts, 0
    texts = pc.replace_substring_regex(texts, _HTML_BREAK if plain else _LINE_END, " ")
    return texts if plain else pc.replace_substring(texts, '\\"', '"'), int(count)


def rewritten_notes(count: int, plain: bool) -> list[str]:
    """Return a note on how many sentences `unescaped` changed, if any."""
    what = "<br /> became a space" if plain else r"\n, \" or <br /> were read as what they stand for"
    return [f"lines whose {what}: {count:,}"] if count else []


def label_name(label: str) -> str:
    """Return a label as it is stored and shown: one line without control characters."""
    return _BREAKS.sub(" ", without_control(label)).strip()


def comparison_form(text: str) -> str:
    """Return the form in which equal sentences agree: lower-case words joined by one space."""
    return " ".join(text.lower().split())


def is_ascii(texts: Any) -> bool:
    """Return whether all sentences are ASCII, for which there are faster kernels."""
    data = texts.buffers()[2]
    return data is None or data.to_pybytes().isascii()


def control_rows(texts: Any) -> npt.NDArray[np.uint8]:
    """Return which sentences contain control characters: [sentences], 0 or 1."""
    import pyarrow as pa
    import pyarrow.compute as pc

    data = np.frombuffer(texts.buffers()[2] or b"", np.uint8)
    if is_ascii(texts) and not _CONTROL.search(data[(data < 0x20) | (data == 0x7F)].tobytes().decode()):
        return np.zeros(len(texts), np.uint8)
    return values_of(pc.match_substring_regex(texts, _CONTROL_RE2).cast(pa.uint8()), np.uint8)


def normal_form(text: str, lowercase: bool, punctuation: bool) -> str:
    """Return a sentence without control characters, its words separated by one space.

    `lowercase` writes it in lower case; `punctuation` separates punctuation from words.
    """
    text = without_control(text)
    text = text.lower() if lowercase else text
    return split_punctuation(text) if punctuation else " ".join(text.split())


def normal_forms(texts: Any, lowercase: bool, punctuation: bool, plain: bool = False) -> Any:
    """Return sentences with the same words as their `normal_form`; white space may be unchanged.

    `plain` sentences are known to have no control characters.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    if punctuation or (
        lowercase and not is_ascii(texts)
    ):  # Arrow does not handle, for example, the final sigma
        forms = [normal_form(text, lowercase, punctuation) for text in texts.to_pylist()]
        return pa.array(forms, pa.string())
    if not plain:
        texts = pc.replace_substring_regex(texts, _CONTROL_RE2, " ")
    return pc.ascii_lower(texts) if lowercase else texts


def words_of(texts: Any) -> Any:
    """Return the words of each sentence, a ``pyarrow.ListArray``; None for a sentence without a word."""
    import pyarrow as pa
    import pyarrow.compute as pc

    trim, split = pc.utf8_trim_whitespace, pc.utf8_split_whitespace
    if is_ascii(texts):
        trim, split = pc.ascii_trim_whitespace, pc.ascii_split_whitespace
    trimmed = trim(texts)
    return split(pc.if_else(pc.equal(trimmed, ""), pa.scalar(None, pa.string()), trimmed))


def comparison_bytes(texts: Any) -> list[bytes]:
    """Return `comparison_form` of each sentence in UTF-8; the sentences must have no control characters."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if not is_ascii(texts):
        return [comparison_form(text).encode() for text in texts.to_pylist()]
    joined = pc.ascii_lower(pc.ascii_trim_whitespace(texts))
    data = np.frombuffer(joined.buffers()[2] or b"", np.uint8)
    spaces = data == ord(" ")
    if (spaces[1:] & spaces[:-1]).any() or (data < ord(" ")).any():  # not only single spaces between words
        joined = pc.fill_null(pc.binary_join(words_of(joined), " "), "")
    found: list[bytes] = joined.cast(pa.binary()).to_pylist()
    return found

"""Options for preparing a corpus."""

from __future__ import annotations

import pytest

from sritool.data.options import PrepareOptions, with_overrides
from sritool.errors import UsageError


@pytest.mark.parametrize(
    "wrong", [{"tokenizer": "letters"}, {"max_length": 0}, {"min_count": 0}, {"vocab_size": 1}]
)
def test_options_are_validated(wrong: dict[str, object]) -> None:
    with pytest.raises(UsageError):
        PrepareOptions(**wrong)  # type: ignore[arg-type]


def test_overrides() -> None:
    words = PrepareOptions(vocab_size=20_000, min_count=1, lowercase=True)
    assert with_overrides(words, {"min_count": 3, "max_length": None}) == PrepareOptions(
        vocab_size=20_000, min_count=3, lowercase=True
    )
    assert with_overrides(words, {"tokenizer": "bpe"}) == PrepareOptions(tokenizer="bpe", lowercase=True)
    assert with_overrides(words, {"tokenizer": "bpe", "vocab_size": 50}).vocab_size == 50
    with pytest.raises(UsageError, match="--min-count is for --tokenizer word"):
        with_overrides(words, {"tokenizer": "bpe", "min_count": 3})

"""Option values that are lists: names, whole numbers and fractions."""

from __future__ import annotations

import pytest

from sritool.cli.options.values import counts, names, numbers
from sritool.errors import UsageError


def test_comma_separated_names() -> None:
    assert names(" ppl,, au ,") == ("ppl", "au")


@pytest.mark.parametrize(
    ("text", "wanted"), [("3", (3,)), ("0,2,5-8", (0, 2, 5, 6, 7, 8)), (" 1 - 2 , 2", (1, 2))]
)
def test_lists_of_whole_numbers(text: str, wanted: tuple[int, ...]) -> None:
    assert counts(text, "--k") == wanted


def test_lists_of_fractions() -> None:
    assert numbers("0.2, 1e-3,0.2", "--grid") == (0.2, 0.001)


@pytest.mark.parametrize("text", ["", ",", "a", "0.1;0.2", "nan", "1,inf"])
def test_invalid_lists_of_fractions(text: str) -> None:
    with pytest.raises(UsageError, match="--grid"):
        numbers(text, "--grid")


@pytest.mark.parametrize("text", ["", ",", "1,", "-1", "1.5", "1-", "1-2-3", "9" * 9, "0-99999", "4-1"])
def test_invalid_lists_of_whole_numbers(text: str) -> None:
    with pytest.raises(UsageError, match="--k"):
        counts(text, "--k")

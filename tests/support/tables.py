"""Runs commands and reads back what they print."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Sequence
from typing import Any

import torch
from typer.testing import Result

from sritool.cli.child import Children, Done

Run = Callable[..., Result]
"""Runs the program with these arguments: the fixtures `run` and `train_small` of tests/cli/conftest.py."""


class Commands:
    """Runs the plan's commands in this process and records them."""

    def __init__(self, run: Run) -> None:
        self.run, self.given = run, list[list[str]]()
        self.instead: Callable[[Sequence[str]], Done | None] = lambda words: None

    def __call__(self, children: Children, words: Sequence[str], seconds: float | None = None) -> Done:
        self.given.append([*words])
        done = self.instead(words)
        if done is None:
            result = self.run(*words)
            assert result.exit_code == 0, result.stderr
            done = Done(0, result.stdout, 0.1, True)
        return done

    def names(self) -> list[str]:
        return [words[0] for words in self.given]


class Terminal(io.StringIO):
    """A stream that says it is a terminal; its width is COLUMNS."""

    def isatty(self) -> bool:
        return True


def options(usual: dict[str, object], *others: object) -> list[object]:
    """The usual options, with those in `others` replaced or added, as a flat list of options and values."""
    given = usual | dict(zip(map(str, others[::2]), others[1::2], strict=True))
    return [word for pair in given.items() for word in pair]


def output(result: Result) -> str:
    """The stdout of a command, which must succeed."""
    assert result.exit_code == 0, result.stderr
    return result.stdout


def rows(result: Result) -> list[dict[str, str]]:
    """The rows of TSV on stdout, which must hold nothing else."""
    text = io.StringIO(output(result), newline="")
    return list(csv.DictReader(text, delimiter="\t", quoting=csv.QUOTE_NONE))


def json_rows(result: Result) -> list[dict[str, Any]]:
    """The rows of JSON lines on stdout, which must hold nothing else."""
    return [json.loads(line) for line in output(result).splitlines()]


def same(one: Any, other: Any) -> bool:
    """Whether nested values are equal, tensors bit for bit."""
    if isinstance(one, torch.Tensor):
        return torch.equal(one, other) and one.dtype == other.dtype
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(same(*pair) for pair in zip(one, other, strict=True))
    return bool(one == other)

"""docs/commands.md, against the docstrings and parsers of the commands."""

from __future__ import annotations

import inspect
import re
import shlex
from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest

from sritool.cli.app import COMMANDS, CommandGroup, with_pairs_joined, with_resume_spelled_out
from sritool.cli.commands.plot import KINDS, KindGroup
from sritool.cli.signatures import documentation

WORDS = [*(name for name in COMMANDS if name != "plot"), *(f"plot {kind}" for kind in KINDS)]


def built(words: str) -> Any:
    """The parser of a command."""
    kind = words.removeprefix("plot ")
    return KindGroup.build(kind) if kind != words else CommandGroup.build(words)


def function_of(reference: ModuleType, words: str) -> Callable[..., Any]:
    kind = words.removeprefix("plot ")
    names, package = (KINDS, "sritool.cli.plots") if kind != words else (COMMANDS, "sritool.cli.commands")
    found: Callable[..., Any] = reference.functions_of({kind: names[kind]}, package)[kind]
    return found


def test_page_is_up_to_date(reference: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.setenv("SRITOOL_SEED", "7")
    page = reference.TARGET.read_text(encoding="utf-8")
    assert page == reference.reference(), f"docs/commands.md is out of date; run: {reference.COMMAND}"


@pytest.mark.parametrize("words", WORDS)
def test_options_match_the_parser(reference: ModuleType, words: str) -> None:
    shown = [one for one in reference.parameters_of(function_of(reference, words)) if one.is_option]
    params = [one for one in built(words).params if one.param_type_name == "option" and not one.hidden]
    parsed = {(frozenset([*one.opts, *one.secondary_opts]), one.envvar or "") for one in params}
    documented = {
        (frozenset(part.strip() for name in one.names for part in name.split("/")), one.variable)
        for one in shown
    }
    assert {pair for pair in parsed if "--help" not in pair[0]} == documented


@pytest.mark.parametrize("words", WORDS)
def test_every_parameter_has_help(reference: ModuleType, words: str) -> None:
    """Help is in the docstring, which must not name parameters that do not exist."""
    function = function_of(reference, words)
    assert all(one.text for one in reference.parameters_of(function))
    assert {*documentation(function)[1]} <= {*inspect.signature(function).parameters}


@pytest.mark.parametrize("words", WORDS)
def test_usage_matches_the_parser(reference: ModuleType, words: str) -> None:
    function = function_of(reference, words)
    usage = reference.usage(words, reference.parameters_of(function))
    arguments = [one for one in built(words).params if one.param_type_name == "argument"]
    given = [f"{one.metavar}{'…' if one.nargs == -1 and '…' not in one.metavar else ''}" for one in arguments]
    wanted = [name if one.required else f"[{name}]" for one, name in zip(arguments, given, strict=True)]
    assert usage == " ".join([f"sritool {words} [OPTIONS]", *wanted])


@pytest.mark.parametrize("words", WORDS)
def test_examples_are_accepted_by_the_parser(reference: ModuleType, words: str) -> None:
    blocks = [
        part for part in reference.description(function_of(reference, words)) if part.startswith("```sh")
    ]
    examples = [line for block in blocks for line in block.splitlines()[1:-1]]
    assert examples, f"{words} has no example"
    for call in [call for line in examples for call in re.findall(r"sritool [^|<>]*", line)]:
        arguments = with_pairs_joined(with_resume_spelled_out(shlex.split(call)[1:]))
        name = arguments.pop(0)
        if name == "plot":
            KindGroup.build(arguments[0]).make_context(name, arguments[1:])
        else:
            CommandGroup.build(name).make_context(name, arguments)


def test_markdown_is_escaped(reference: ModuleType) -> None:
    assert reference.escaped("<unk> a|b *") == r"\<unk> a\|b \*"
    assert reference.code("a|b") == r"`a\|b`"
    page = reference.TARGET.read_text(encoding="utf-8")
    prose = re.sub(r"```.*?```", "", page, flags=re.DOTALL)
    assert not re.search(r"(?<!\\)<", re.sub(r"`[^`]*`", "", prose))


def test_table_rows_have_the_same_number_of_cells(reference: ModuleType) -> None:
    page = reference.TARGET.read_text(encoding="utf-8")
    for block in page.split("\n\n"):
        lines = [line for line in block.splitlines() if line.startswith("|")]
        assert len({len(re.findall(r"(?<!\\)\|", line)) for line in lines}) <= 1, block

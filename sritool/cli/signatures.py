"""Derives what Typer needs to know about a command from its signature and docstring.

    @dataclass(frozen=True)
    class DeviceOptions:
        '''Where the work is done.

        Attributes:
            device: cpu, cuda:0 or auto.
        '''

        device: str = "auto"

    def score(*, device: DeviceOptions, samples: Annotated[int | None, typer.Option(min=2)] = None) -> None:
        '''Score sentences.

        Args:
            samples: Draws of z. [default: as trained]
        '''

Options that several commands share are declared once, as the fields of a frozen dataclass. Typer reads a command from
its parameters alone, so it is given `flat(score)`, which has the parameters `device` and `samples` and builds the
record before it calls `score`. An option's help is its entry in the docstring. `[default: …]` at the end of an entry
replaces the default that the help would show.
"""

from __future__ import annotations

import copy
import dataclasses
import functools
import inspect
import re
import typing
from collections.abc import Callable, Iterable, Mapping
from typing import Annotated, Any

import typer

from sritool.errors import UsageError, quoted

MOST = {
    "seed": (1 << 63) - 1,  # the limit of random number generators
    "workers": 1_000,  # processes
    "beam": 10_000,  # hypotheses at once
    "max_length": 100_000,  # tokens, of many sentences at once
    "memory": 1 << 60,  # bytes
    **dict.fromkeys(("n", "points"), 10_000_000),  # all codes are drawn at once
    **dict.fromkeys(("chains", "samples", "pilots", "rungs", "certify", "draws", "batch_size"), 1_000_000),
    **dict.fromkeys(("langevin_steps", "refine_steps", "gradient_steps"), 100_000),
}
"""Parameter -> its largest value. A typo is refused before memory is allocated for it."""
MOST_OTHERWISE = 1_000_000_000_000


def in_panel(heading: str) -> Callable[..., Any]:
    """Return `typer.Option` for options that have their own heading in the help."""
    return functools.partial(typer.Option, rich_help_panel=heading)


def documentation(documented: Callable[..., Any]) -> tuple[str, dict[str, str]]:
    """Return a docstring's description, one line per paragraph, and the entry of each parameter in `Args`.

    Args:
        documented: A command, or a record of options, whose section is called `Attributes`.
    """
    docstring = inspect.cleandoc(documented.__doc__ or "")
    before, section, *_ = *re.split(r"^(?:Args|Attributes):\n", docstring, flags=re.MULTILINE), ""
    paragraphs = [" ".join(paragraph.split("\n")) for paragraph in before.strip().split("\n\n")]
    entries = re.findall(r"^    (\w+): (.*(?:\n {8}.*)*)", section, flags=re.MULTILINE)
    return "\n\n".join(paragraphs), {name: " ".join(text.split()) for name, text in entries}


def flat(command: Callable[..., None]) -> Callable[..., None]:
    """Return a command with one parameter per option, in place of the records that hold them.

    Args:
        command: A function whose parameters are options, arguments, or frozen dataclasses of these.

    Returns:
        The same command. It raises UsageError for an implausibly large number.
    """
    parameters: list[inspect.Parameter] = []
    records: dict[str, type[Any]] = {}
    hints = typing.get_type_hints(command, include_extras=True)
    texts = documentation(command)[1]
    for name, own in inspect.signature(command).parameters.items():
        if dataclasses.is_dataclass(hints[name]):
            records[name] = typing.cast("type[Any]", hints[name])
            parameters += _fields(records[name])
        else:
            parameters.append(_parameter(name, hints[name], own.default, texts))

    @functools.wraps(command)
    def flattened(**given: Any) -> None:
        check_numbers(given)
        for name, record in records.items():
            taken = {field.name: given.pop(field.name) for field in dataclasses.fields(record)}
            given[name] = record(**taken)
        command(**given)

    flattened.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    flattened.__annotations__ = {one.name: one.annotation for one in parameters}
    return flattened


def _fields(record: type[Any]) -> list[inspect.Parameter]:
    """The fields of a record as parameters; inherited ones take their help from the class that declares them."""
    hints = typing.get_type_hints(record, include_extras=True)
    texts: dict[str, str] = {}
    for base in reversed(record.__mro__):
        texts |= documentation(base)[1]
    return [_parameter(one.name, hints[one.name], one.default, texts) for one in dataclasses.fields(record)]


def _parameter(name: str, annotation: Any, default: Any, texts: Mapping[str, str]) -> inspect.Parameter:
    """A parameter as Typer reads it, with its help; a plain type becomes an option without further settings."""
    if name in texts:
        plain = typing.get_origin(annotation) is not Annotated
        kind, info = (annotation, typer.Option()) if plain else typing.get_args(annotation)
        info = copy.copy(info)  # other commands may share it
        info.help, *shown = re.split(r" \[default: (.*)\]$", texts[name])
        info.show_default = shown[0] if shown else info.show_default
        annotation = Annotated[kind, info]
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)


def typed(ctx: typer.Context) -> dict[str, str]:
    """Return the parameters given on the command line, not by a variable, each with its spelling."""
    given: dict[str, str] = {}
    for param in ctx.command.params:
        source = ctx.get_parameter_source(str(param.name))
        if source is not None and source.name == "COMMANDLINE":
            given[str(param.name)] = spelling_of(param)
    return given


def spelling_of(param: Any) -> str:
    """Return how a user writes a parameter: the longest flag of an option, or the name of an argument."""
    is_option = param.param_type_name == "option"
    return str(max(param.opts, key=len) if is_option else param.metavar or param.name.upper())


def refuse_idle(ctx: typer.Context, rules: Iterable[tuple[bool, Iterable[str], str]]) -> None:
    """Raise UsageError for an option on the command line that would have no effect.

    Args:
        ctx: Context of the command.
        rules: For each, whether it holds, the parameters that then have no effect, and a message with `{}` for one.
    """
    given = typed(ctx)
    for holds, parameters, message in rules:
        for name in parameters:
            if holds and name in given:
                raise UsageError(message.format(given[name]))


def check_numbers(given: Mapping[str, object]) -> None:
    """Raise UsageError for a number beyond MOST."""
    for name, value in given.items():
        most = MOST.get(name, MOST_OTHERWISE)
        if isinstance(value, int) and value > most:
            raise UsageError(f"--{name.replace('_', '-')} is {quoted(value)}; give at most {most}")

"""What several commands share is declared once, as a frozen dataclass whose annotated fields are options.

    @dataclass(frozen=True)
    class DeviceOptions:
        device: Annotated[str, option("cpu, cuda:0, mps or auto.")] = "auto"

    def score(*, device: DeviceOptions, samples: Annotated[int, option("Draws.", min=2)] = 100) -> None: ...

Typer reads a command from its parameters alone. So it is given `flat(score)`, which has the parameters `device` and
`samples`, and which puts the record together before it calls `score`.
"""

from __future__ import annotations

import dataclasses
import functools
import inspect
import typing
from collections.abc import Callable, Mapping
from typing import Any

import typer

from sritool.errors import UsageError, quoted

MOST = {
    "seed": (1 << 63) - 1,  # what a generator of random numbers takes
    "workers": 1_000,  # processes
    "beam": 10_000,  # hypotheses side by side
    "max_length": 100_000,  # tokens, of many sentences side by side
    **dict.fromkeys(("n", "points"), 10_000_000),  # codes are drawn together
    **dict.fromkeys(("chains", "samples", "pilots", "rungs", "certify", "draws", "batch_size"), 1_000_000),
    **dict.fromkeys(("langevin_steps", "refine_steps", "gradient_steps"), 100_000),
}
"""Parameter -> its largest value. A slip of the finger is refused before memory is taken for it."""
MOST_OTHERWISE = 1_000_000_000_000


def option(text: str, *names: str, panel: str | None = None, **how: Any) -> Any:
    """Return an option for an annotation.

    Args:
        text: Its help.
        *names: Its spellings, where they are not `--` and the parameter's name.
        panel: The heading that it stands under in the help; see `in_panel`.
        **how: As for `typer.Option`: metavar, envvar, min, show_default and others.
    """
    return typer.Option(*names, help=text, rich_help_panel=panel, **how)


def in_panel(heading: str) -> Callable[..., Any]:
    """Return `option` for options that stand under a heading of their own in the help."""
    return functools.partial(option, panel=heading)


def flat(command: Callable[..., None]) -> Callable[..., None]:
    """Return a command with one parameter an option, in place of the records that hold them.

    Args:
        command: A function whose parameters are options, arguments, or frozen dataclasses of such.

    Returns:
        The same command. It raises UsageError for a number that is too large to be meant.
    """
    parameters: list[inspect.Parameter] = []
    records: dict[str, type[Any]] = {}
    hints = typing.get_type_hints(command, include_extras=True)
    for name, own in inspect.signature(command).parameters.items():
        if dataclasses.is_dataclass(hints[name]):
            records[name] = typing.cast("type[Any]", hints[name])
            types = typing.get_type_hints(hints[name], include_extras=True)
            shared = [
                (field.name, types[field.name], field.default) for field in dataclasses.fields(hints[name])
            ]
        else:
            shared = [(name, hints[name], own.default)]
        parameters += [
            inspect.Parameter(one, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)
            for one, annotation, default in shared
        ]

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


def typed(ctx: typer.Context) -> dict[str, str]:
    """Return the parameters that the command line gives, which no variable does, each with its spelling."""
    spelling: dict[str, str] = {}
    for param in ctx.command.params:
        source = ctx.get_parameter_source(str(param.name))
        if source is not None and source.name == "COMMANDLINE":
            is_option = param.param_type_name == "option"
            spelling[str(param.name)] = max(param.opts, key=len) if is_option else str(param.metavar)
    return spelling


def check_numbers(given: Mapping[str, object]) -> None:
    """Raise UsageError for a number beyond MOST."""
    for name, value in given.items():
        most = MOST.get(name, MOST_OTHERWISE)
        if isinstance(value, int) and value > most:
            raise UsageError(f"--{name.replace('_', '-')} is {quoted(value)}; give at most {most}")

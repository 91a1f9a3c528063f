"""Commands as modules, each built with its options only when it runs.

A module holds a plain function of its own name. The function's parameters are the command's options, or records of
options that several commands share (`sritool.cli.options`); the first line of its docstring is its help in the
list of commands.
"""

from __future__ import annotations

import importlib
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import typer
from typer.core import TyperCommand, TyperGroup

from sritool.cli.signatures import documentation, flat
from sritool.errors import UsageError, suggestion

CONTEXT_SETTINGS = {"help_option_names": ["--help", "-h"]}


class Command(TyperCommand):
    """A command that refuses a repeated option instead of silently taking its last value."""

    def parse_args(self, ctx: typer.Context, args: list[str]) -> list[str]:  # type: ignore[override]
        if not ctx.resilient_parsing:
            # Lists each option as often as it was given.
            _, _, given = self.make_parser(ctx).parse_args(args=[*args])
            refuse_repeated(given)
        return super().parse_args(ctx, args)


def refuse_repeated(given: Sequence[Any]) -> None:
    """Raise UsageError for an option that takes one value and was given more than once.

    A plain flag may be repeated, since nothing is lost; one of a pair, such as --lowercase/--keep-case, may not.
    """
    for param, times in Counter(given).items():
        single = param.param_type_name == "option" and not param.multiple and not param.count
        plain_flag = single and param.is_flag and not param.secondary_opts
        if times > 1 and single and not plain_flag:
            name = "/".join([max(param.opts, key=len), *param.secondary_opts])
            raise UsageError(f"{name} is given {times} times, and only one can count; leave the others out")


class LazyGroup(TyperGroup):
    """A group whose commands are the modules of a package."""

    package: ClassVar[str]
    headings: ClassVar[dict[str, str]]  # command -> its heading in the help, in the order shown
    noun: ClassVar[str]  # what a command is called in an error

    def list_commands(self, ctx: typer.Context) -> list[str]:  # type: ignore[override]
        return list(self.headings)

    def get_command(self, ctx: typer.Context, cmd_name: str) -> Any:  # type: ignore[override]
        # For the list of commands and for completion, which need no options.
        return self.build(cmd_name, summary_only=True) if cmd_name in self.headings else None

    def resolve_command(self, ctx: typer.Context, args: list[str]) -> Any:  # type: ignore[override]
        name = args[0]
        if name in self.headings:
            return name, self.build(name), args[1:]
        if not name.startswith("-") and not ctx.resilient_parsing:
            ctx.fail(f"no {self.noun} {name!r}{suggestion(name, self.headings)}")
        return super().resolve_command(ctx, args)

    def parse_args(self, ctx: typer.Context, args: list[str]) -> list[str]:  # type: ignore[override]
        return super().parse_args(ctx, args or ([] if ctx.resilient_parsing else ["--help"]))

    @classmethod
    def build(cls, name: str, summary_only: bool = False) -> Any:
        """Return the Typer command of a module: `tune-step` is the function `tune_step` of the module `tune_step`.

        With `summary_only` it has no options, since the list of commands needs none.
        """
        function_name = name.replace("-", "_")
        module = importlib.import_module(f"{cls.package}.{function_name}")
        function: Callable[..., None] = getattr(module, function_name)
        heading = cls.headings[name]
        if hasattr(module, "build_group"):  # it has commands of its own
            return module.build_group(heading)
        single = typer.Typer(add_completion=False, rich_markup_mode="rich")
        register = single.command(
            name,
            cls=Command,
            help=help_of(function),
            rich_help_panel=heading,
            context_settings=CONTEXT_SETTINGS,
        )
        register((lambda: None) if summary_only else flat(function))
        return typer.main.get_command(single)


def help_of(function: Callable[..., None]) -> str:
    """Return a command's help, with brackets escaped so that Rich does not take them for markup."""
    return documentation(function)[0].replace("[", r"\[")

"""The `sritool` program: its table of commands, global options, and the one place where errors become exits.

A command is a module of `sritool.cli.commands`, named like the command with `_` for `-`, that holds a plain function
of the same name. The function's parameters are the command's options, or records of options that several commands
share (`sritool.cli.options`); the first line of its docstring is the help in the list. Such a module imports only
typer and its neighbours at the top. What does the work is imported inside the function, so that `sritool --help` and
shell completion never wait for torch.
"""

from __future__ import annotations

import importlib
import inspect
import itertools
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from sritool._version import __version__
from sritool.cli.error_messages import exit_code_of
from sritool.cli.signals import deaf_to_signals, ended_by_signals
from sritool.cli.signatures import flat
from sritool.cli.streams import standard_streams
from sritool.errors import suggestion

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

COMMANDS: dict[str, str] = {
    "preprocess": "Data",
    "train": "Models",
    "tune-step": "Models",
    "evaluate": "Models",
    "compare": "Models",
    "score": "Models",
    "info": "Models",
    "sample": "Latent space",
    "interpolate": "Latent space",
    "encode": "Latent space",
    "decode": "Latent space",
    "noisy-recon": "Latent space",
    "classify": "Latent space",
    "plot": "Pictures",
    "report": "Pictures",
}
"""Command name -> the heading it stands under in `sritool --help`, in the order shown."""

FORMER_OPTIONS: dict[str, dict[str, str]] = {
    "report": {"samples": "n"},
    "sample": {"z": "codes"},
    "tune-step": {"sentences": "limit", "steps": "langevin-steps"},
}
"""Command or kind of picture -> what an option was called -> what it is called. Both are taken."""

_OPTION = re.compile(r"--?[A-Za-z]\S*")


def with_resume_spelled_out(args: Sequence[str]) -> list[str]:
    """A bare `--resume` as `--resume=auto`: Typer's options either take a value or do not."""
    pairs = itertools.pairwise([*args, "-"])
    return [
        "--resume=auto" if word == "--resume" and after.startswith("-") else word for word, after in pairs
    ]


def with_pairs_joined(args: Sequence[str]) -> list[str]:
    """`--between A B` as `--between` and one word with a tab in it: Typer has no list of pairs.

    What looks like an option, -q or --points, is none of the two sentences.
    """
    joined: list[str] = []
    words = list(args)
    while words:
        word = words.pop(0)
        joined.append(word)
        if word == "--between" and len(words) >= 2 and not any(map(_OPTION.fullmatch, words[:2])):
            joined.append(f"{words.pop(0)}\t{words.pop(0)}")
    return joined


class CommandGroup(TyperGroup):
    """Builds a command when it is asked for, and ends every command with one line and the right exit code."""

    def list_commands(self, ctx: typer.Context) -> list[str]:  # type: ignore[override]
        return list(COMMANDS)

    def get_command(self, ctx: typer.Context, cmd_name: str) -> Any:  # type: ignore[override]
        # What the list of commands and completion show; its options are built when it is the one to run.
        return build_command(cmd_name, summary_only=True) if cmd_name in COMMANDS else None

    def resolve_command(self, ctx: typer.Context, args: list[str]) -> Any:  # type: ignore[override]
        name = args[0]
        if name in COMMANDS:
            return name, build_command(name), args[1:]
        if not name.startswith("-") and not ctx.resilient_parsing:
            ctx.fail(f"no command {name!r}{suggestion(name, COMMANDS)}")
        return super().resolve_command(ctx, args)

    def parse_args(self, ctx: typer.Context, args: list[str]) -> list[str]:  # type: ignore[override]
        bare = not args and not ctx.resilient_parsing
        return super().parse_args(
            ctx, ["--help"] if bare else with_pairs_joined(with_resume_spelled_out(args))
        )

    def invoke(self, ctx: typer.Context) -> Any:  # type: ignore[override]
        # Typer's own main() would turn Ctrl-C into its exit code: it is met before.
        try:
            Path.cwd()  # where it is gone, PyTorch's libraries end the process with a word of their own
            super().invoke(ctx)
            sys.stdout.flush()  # so that a full disk is met here and not at shutdown
        except (Exception, KeyboardInterrupt) as error:
            raise typer.Exit(exit_code_of(error, debug=bool(ctx.params.get("debug")))) from None

    def main(  # type: ignore[override]
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        **extra: Any,
    ) -> Any:
        code: Any
        try:
            code = super().main(args, prog_name, complete_var, standalone_mode=False, **extra)
            sys.stdout.flush()
        except SystemExit as error:
            code = error.code
        except (Exception, KeyboardInterrupt) as error:
            code = exit_code_of(error)
        if not isinstance(code, int):
            code = 0
        if standalone_mode:
            sys.exit(code)
        return code


def build_command(name: str, summary_only: bool = False) -> Any:
    """The Typer command of a name in COMMANDS, from the function of that name in the module of that name."""
    function_name = name.replace("-", "_")
    module = importlib.import_module(f"sritool.cli.commands.{function_name}")
    function: Callable[..., None] = getattr(module, function_name)
    if hasattr(module, "build_group"):  # it has commands of its own
        return module.build_group(COMMANDS[name], help_of(function), CONTEXT_SETTINGS)
    return command_of(name, function, COMMANDS[name], summary_only)


def command_of(name: str, function: Callable[..., None], panel: str, summary_only: bool = False) -> Any:
    """Return a function as a Typer command that stands under a heading."""
    single = typer.Typer(add_completion=False, rich_markup_mode="rich")
    former = FORMER_OPTIONS.get(name, {})
    settings = {**CONTEXT_SETTINGS, "token_normalize_func": lambda word: former.get(word, word)}
    register = single.command(name, help=help_of(function), rich_help_panel=panel, context_settings=settings)
    register((lambda: None) if summary_only else flat(function))
    return typer.main.get_command(single)


def help_of(function: Callable[..., None]) -> str:
    """Return its docstring, with brackets that Rich does not take for markup."""
    return unwrapped(function.__doc__ or "").replace("[", r"\[")


def unwrapped(docstring: str) -> str:
    """Return a docstring with each paragraph in one line: Typer keeps line ends and wraps again."""
    paragraphs = inspect.cleandoc(docstring).split("\n\n")
    return "\n\n".join(" ".join(paragraph.split("\n")) for paragraph in paragraphs)


CONTEXT_SETTINGS = {"help_option_names": ["--help", "-h"]}

app = typer.Typer(
    name="sritool",
    cls=CommandGroup,
    context_settings=CONTEXT_SETTINGS,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
)


def show_version(wanted: bool) -> None:
    """Print the version and end."""
    if wanted:
        typer.echo(f"sritool {__version__}")
        raise typer.Exit


@app.callback()
def global_options(
    version: Annotated[
        bool,
        typer.Option("--version", callback=show_version, is_eager=True, help="Show the version and exit."),
    ] = False,
    debug: Annotated[
        bool, typer.Option("--debug", envvar="SRITOOL_DEBUG", help="Show the traceback of an error.")
    ] = False,
) -> None:
    """Latent-variable models of text from the command line: short-run inference, and its measures."""


def main() -> None:
    """Entry point of the console script and of `python -m sritool`."""
    with standard_streams(), ended_by_signals():
        try:
            code = app(prog_name="sritool", standalone_mode=False)
        except KeyboardInterrupt as error:  # a second one, while the first was told
            code = exit_code_of(error)
        deaf_to_signals()
    sys.exit(code)

"""The `sritool` program: its table of commands, global options, and the one place where errors become exits.

A command is a module of `sritool.cli.commands` (see `sritool.cli.lazy_group`). It imports only typer and its
neighbours at the top. What does the work is imported inside its function, so that `sritool --help` and shell
completion never wait for torch.
"""

from __future__ import annotations

import itertools
import os
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sritool._version import __version__
from sritool.cli.error_messages import exit_code_of
from sritool.cli.lazy_group import CONTEXT_SETTINGS, LazyGroup
from sritool.cli.signals import deaf_to_signals, ended_by_signals
from sritool.cli.streams import standard_streams
from sritool.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

COMMANDS: dict[str, str] = {
    "preprocess": "Data",
    "train": "Models",
    "recipes": "Models",
    "tune": "Models",
    "tune-step": "Models",
    "fit-prior": "Models",
    "evaluate": "Models",
    "compare": "Models",
    "reproduce": "Models",
    "score": "Models",
    "info": "Models",
    "push": "Models",
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


class CommandGroup(LazyGroup):
    """The commands of the program; each ends with one line and the right exit code."""

    package, headings, noun = "sritool.cli.commands", COMMANDS, "command"

    def parse_args(self, ctx: typer.Context, args: list[str]) -> list[str]:  # type: ignore[override]
        return super().parse_args(ctx, with_pairs_joined(with_resume_spelled_out(args)))

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


SHARED = ("train", "evaluate", "compare", "encode", "noisy-recon", "classify")
"""Commands whose work several processes share; of the others, each process would do all of it again."""


@app.callback()
def global_options(
    ctx: typer.Context,
    version: Annotated[
        bool,
        typer.Option("--version", callback=show_version, is_eager=True, help="Show the version and exit."),
    ] = False,
    debug: Annotated[
        bool, typer.Option("--debug", envvar="SRITOOL_DEBUG", help="Show the traceback of an error.")
    ] = False,
) -> None:
    """Latent-variable models of text from the command line: short-run inference, and its measures."""
    command, processes = ctx.invoked_subcommand or "sritool", os.environ.get("WORLD_SIZE", "")
    if command not in SHARED and processes.isdecimal() and int(processes) > 1:  # as torchrun says
        raise UsageError(
            f"{command} runs in one process, and WORLD_SIZE={processes} says that there are {processes}: each "
            "would do the same work; start it without torchrun, or unset WORLD_SIZE"
        )


def main() -> None:
    """Entry point of the console script and of `python -m sritool`."""
    with standard_streams(), ended_by_signals():
        try:
            code = app(prog_name="sritool", standalone_mode=False)
        except KeyboardInterrupt as error:  # a second one, while the first was told
            code = exit_code_of(error)
        deaf_to_signals()
    sys.exit(code)

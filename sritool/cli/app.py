"""The `sritool` program: its table of commands, global options, and the one place where errors become exits.

A command is a module of `sritool.cli.commands` (see `sritool.cli.lazy_group`). At the top it imports only typer and
its neighbours. The code that does the work is imported inside its function, so that `sritool --help` and shell
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
from sritool.cli.signals import ending_on_signals, ignoring_signals
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
"""Command name -> its heading in `sritool --help`, in the order shown."""

_OPTION = re.compile(r"--?[A-Za-z]\S*")


def with_resume_spelled_out(args: Sequence[str]) -> list[str]:
    """Turn a bare `--resume` into `--resume=auto`, since a Typer option cannot have an optional value."""
    pairs = itertools.pairwise([*args, "-"])
    return [
        "--resume=auto" if word == "--resume" and after.startswith("-") else word for word, after in pairs
    ]


def with_pairs_joined(args: Sequence[str]) -> list[str]:
    """Join the two values of `--between A B` by a tab, since Typer has no option that takes a list of pairs.

    A word that looks like an option, such as -q or --points, is not taken for a sentence.
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
    """The commands of the program; an error in one becomes one line on stderr and an exit code."""

    package, headings, noun = "sritool.cli.commands", COMMANDS, "command"

    def parse_args(self, ctx: typer.Context, args: list[str]) -> list[str]:  # type: ignore[override]
        return super().parse_args(ctx, with_pairs_joined(with_resume_spelled_out(args)))

    def invoke(self, ctx: typer.Context) -> Any:  # type: ignore[override]
        # Handled here, since Typer's own main() would turn Ctrl-C into an exit code of its own.
        try:
            Path.cwd()  # if it is gone, fail here: PyTorch's libraries would end the process their own way
            super().invoke(ctx)
            sys.stdout.flush()  # so that a full disk is noticed here and not at shutdown
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
    """Print the version and exit."""
    if wanted:
        typer.echo(f"sritool {__version__}")
        raise typer.Exit


SHARED = ("train", "evaluate", "compare", "encode", "noisy-recon", "classify")
"""Commands whose work several processes can share; with any other, each process would repeat all of it."""


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
    """Latent-variable models of text from the command line: short-run inference and its evaluation."""
    command, processes = ctx.invoked_subcommand or "sritool", os.environ.get("WORLD_SIZE", "")
    if command not in SHARED and processes.isdecimal() and int(processes) > 1:  # set by torchrun
        raise UsageError(
            f"{command} runs in one process, but WORLD_SIZE={processes} says that there are {processes}, and "
            "each would do the same work; start it without torchrun, or unset WORLD_SIZE"
        )


def main() -> None:
    """Entry point of the console script and of `python -m sritool`."""
    with standard_streams(), ending_on_signals():
        try:
            code = app(prog_name="sritool", standalone_mode=False)
        except KeyboardInterrupt as error:  # a second one, while the first was being reported
            code = exit_code_of(error)
        ignoring_signals()
    sys.exit(code)

"""From an exception to one line on stderr and an exit code."""

from __future__ import annotations

import difflib
import os
import sys
import traceback
from collections.abc import Iterable
from typing import Any

import typer

from sritool.cli.render import say
from sritool.errors import Interrupted, SritoolError

DEBUG_HINT = "to see where, run again as: sritool --debug …"


def suggestion(name: str, known: Iterable[str]) -> str:
    """`"; did you mean 'x'?"` for the nearest known name, or what names there are."""
    known = list(known)
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    if near:
        return f"; did you mean {near[0]!r}?"
    return f"; there are: {', '.join(known)}" if known else ""


def exit_code_of(error: BaseException | None, debug: bool | None = None) -> int:
    """Say what went wrong in one line on stderr, nothing for a closed pipe, and give the exit code."""
    if debug is None:
        debug = os.environ.get("SRITOOL_DEBUG", "").lower() not in ("", "0", "false", "no")
    if isinstance(error, typer.Exit):
        return error.exit_code
    if isinstance(error, BrokenPipeError):
        discard_stdout()
        return 0
    if debug and error is not None:
        traceback.print_exception(error, file=sys.stderr)
    line, code = describe(error)
    if isinstance(error, Interrupted | KeyboardInterrupt):
        say(line)
    else:
        say(line, label="error")
    return code


def discard_stdout() -> None:
    """Send the rest of stdout nowhere: its reader has gone, which is the reader's choice and no failure."""
    if sys.__stdout__ is None:
        return
    try:
        stdout = sys.__stdout__.fileno()
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stdout)  # else the interpreter meets the same error once more while it shuts down
        os.close(nowhere)
    except (OSError, ValueError):
        pass


def describe(error: BaseException | None) -> tuple[str, int]:
    """One line and an exit code for any exception."""
    if isinstance(error, SritoolError):
        return one_line(str(error)), error.exit_code
    if isinstance(error, KeyboardInterrupt):
        return "stopped by Ctrl-C", 130
    if isinstance(error, typer.Abort):
        return "stopped", 1
    if hasattr(error, "format_message"):  # the parser's own errors, whichever library Typer takes them from
        return describe_usage(error), 2
    if isinstance(error, OSError) and error.strerror:
        where = f": {error.filename}" if error.filename else ""
        return f"{one_line(error.strerror)}{where}", 1
    return f"{type(error).__name__}: {one_line(str(error))[:300]} ({DEBUG_HINT})", 1


def describe_usage(error: Any) -> str:
    """The parser's message in one line, with the nearest option or the help to read next."""
    ctx: Any = getattr(error, "ctx", None)
    option = getattr(error, "option_name", None)
    help_hint = f"(see: {ctx.command_path if ctx is not None else 'sritool'} --help)"
    if ctx is None or option is None or not hasattr(error, "possibilities"):
        return f"{one_line(error.format_message()).rstrip('.')} {help_hint}"
    program = ctx.find_root()
    if ctx is not program and option in option_names(program):
        return f"{option} stands before the command: {program.command_path} {option} {ctx.info_name} …"
    near = difflib.get_close_matches(option, option_names(ctx), n=1, cutoff=0.5)
    return f"no option {option}{f'; did you mean {near[0]}?' if near else ''} {help_hint}"


def option_names(ctx: Any) -> list[str]:
    """Every spelling of every visible option of a context's command, `--help` included."""
    params = [param for param in ctx.command.get_params(ctx) if param.param_type_name == "option"]
    return [name for param in params for name in (*param.opts, *param.secondary_opts) if not param.hidden]


def one_line(text: str) -> str:
    return " ".join(text.split())

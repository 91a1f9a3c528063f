"""Turns an exception into one line on stderr and an exit code."""

from __future__ import annotations

import os
import re
import signal
import sys
import traceback
from typing import Any

import typer

from sritool.cli.printable import one_line
from sritool.cli.signals import Stopped
from sritool.cli.signatures import spelling_of
from sritool.cli.streams import say, write_bytes
from sritool.errors import ADVICE, EndedElsewhereError, Interrupted, SritoolError, nearest, wanted_value

DEBUG_HINT = "to see where, run again as: sritool --debug …"
REASON = "SRITOOL_REASON"
"""Environment variable: if set, the line goes to stdout too, for the command that started this one."""


def exit_code_of(error: BaseException, debug: bool | None = None) -> int:
    """Print what went wrong in one line on stderr, and return the exit code."""
    if debug is None:
        debug = os.environ.get("SRITOOL_DEBUG", "").lower() not in ("", "0", "false", "no")
    if isinstance(error, typer.Exit):
        return error.exit_code
    if debug:
        traceback.print_exception(error, file=sys.stderr)
    line, code = describe(error, debug)
    if not line:
        return code
    say(line, label="" if isinstance(error, Interrupted | KeyboardInterrupt) else "error")
    if os.environ.get(REASON):
        write_bytes(f"{line}\n".encode())
    return code


def describe(error: BaseException, debug: bool = False) -> tuple[str, int]:
    """Return one line and an exit code for any exception."""
    if isinstance(error, EndedElsewhereError):
        return "", error.exit_code  # another process of the job has reported it
    if isinstance(error, SritoolError):
        return one_line(str(error)), error.exit_code
    if isinstance(error, Stopped):
        return f"stopped by {signal.Signals(error.number).name}", 128 + error.number
    if isinstance(error, KeyboardInterrupt):
        return "stopped by Ctrl-C", 130
    if isinstance(error, typer.Abort):
        stop = error.__cause__ or error.__context__  # what Typer turns Ctrl-C into while it reads the options
        return describe(stop) if isinstance(stop, KeyboardInterrupt) else ("stopped", 1)
    if hasattr(error, "format_message"):  # the parser's own errors, whichever library Typer takes them from
        return one_line(describe_usage(error)), 2
    if isinstance(error, OSError) and error.strerror:
        return describe_system(error), 1
    if is_out_of_memory(error):
        return "out of memory; give a smaller --batch-size, or less --memory where the command has it", 1
    hint = "" if debug else f" ({DEBUG_HINT})"
    return f"{type(error).__name__}: {one_line(str(error))[:300]}{hint}", 1


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether an allocation failed: in Python, in NumPy, or in torch on a CPU or a GPU."""
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    return isinstance(error, RuntimeError) and "can't allocate memory" in str(error)


def describe_system(error: OSError) -> str:
    """Return what the system refused and what to do about it; tasks give more specific messages where they can."""
    name = os.fsdecode(error.filename) if isinstance(error.filename, str | bytes) else ""
    gone = not name and isinstance(error, FileNotFoundError)  # only the current folder has no name
    where = f": {name}" if name else ": the current folder" if gone else ""
    advice = ADVICE.get(error.errno or 0, DEBUG_HINT)
    return one_line(f"{error.strerror}{where}; {'change to a folder that exists' if gone else advice}")


def describe_usage(error: Any) -> str:
    """Return the parser's message in one line, with the nearest name, if any, and the help command."""
    ctx: Any = getattr(error, "ctx", None)
    help_hint = f"(see: {ctx.command_path if ctx is not None else 'sritool COMMAND'} --help)"
    if ctx is not None and getattr(error, "param", None) is not None:
        return f"{bad_value(error)} {help_hint}"
    option = getattr(error, "option_name", None)
    if ctx is None or option is None or not hasattr(error, "possibilities"):
        message = one_line(error.format_message()).rstrip(".")
        if "extra argument" in message and ctx is not None and "--text" in option_names(ctx):
            message += "; sentences from a file: --text FILE"
        return f"{message} {help_hint}"
    program = ctx.find_root()
    if ctx is not program and option in option_names(program):
        return f"{option} goes before the command: {program.command_path} {option} {ctx.info_name} …"
    if others := commands_with(option, ctx):
        return f"no option {option} here; it belongs to sritool {', '.join(others)} {help_hint}"
    near = nearest(option, option_names(ctx))
    return f"no option {option}{f'; did you mean {near}?' if near else ''} {help_hint}"


def bad_value(error: Any) -> str:
    """Return e.g. `--format: 'jsn' is not one of 'json', …; did you mean 'json'?`, naming the variable, if any."""
    param, ctx = error.param, error.ctx
    name = spelling_of(param)
    source = ctx.get_parameter_source(param.name)
    if source is not None and source.name == "ENVIRONMENT":
        name = f"{name} (from {param.envvar})"
    message = one_line(error.message) or "a value is missing"
    message = re.sub(r"^Value error, |, unable to (parse|interpret).*$", "", message).rstrip(".")
    if message.startswith("Input should "):
        message = f"it should {wanted_value(message)}".replace("a valid boolean", "true or false")
    if "is not one of" in message:
        given, *choices = re.findall(r"'([^']*)'", message)
        near = nearest(given, choices)
        message += f"; did you mean {near!r}?" if near else ""
    return f"{name}: {message}"


def commands_with(option: str, ctx: Any) -> list[str]:
    """Return the program's other commands that have this option."""
    program = ctx.find_root().command
    others = (program.build(name) for name in program.headings if name != ctx.info_name)
    return [other.name for other in others if option in option_names(ctx, other)]


def option_names(ctx: Any, command: Any = None) -> list[str]:
    """Return every spelling of every visible option of a command, including `--help`; the context's by default."""
    params = (command or ctx.command).get_params(ctx)
    params = [param for param in params if param.param_type_name == "option"]
    return [name for param in params for name in (*param.opts, *param.secondary_opts) if not param.hidden]

"""Write docs/commands.md from the commands' own signatures and docstrings: `python docs/reference.py`.

What a command takes stands in its function's annotations, which are read here as Typer reads them. They do not
change with Typer's version, nor with the width of a terminal, as the help that it prints does.
"""

from __future__ import annotations

import importlib
import inspect
import re
import sys
import typing
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import NoneType
from typing import Any, Literal, NamedTuple

from typer.models import OptionInfo, ParameterInfo

ROOT = Path(__file__).parents[1]
if str(ROOT) not in sys.path:
    sys.path.append(str(ROOT))  # so that a checkout is enough; last, so that an installed sritool comes first

from sritool.cli.app import COMMANDS, global_options  # noqa: E402
from sritool.cli.commands.plot import KINDS  # noqa: E402
from sritool.cli.signatures import documentation, flat  # noqa: E402

TARGET = ROOT / "docs" / "commands.md"
COMMAND = "python docs/reference.py"
PLACEHOLDERS: dict[Any, str] = {int: "N", float: "X", str: "TEXT", Path: "PATH"}
EXAMPLE = re.compile(r"(\S.* \| )?sritool [a-z].*")

INTRODUCTION = f"""\
# Commands

Written by `{COMMAND}` from the program itself; a test holds it to that. `sritool COMMAND --help` shows the same.

`sritool [GLOBAL OPTIONS] COMMAND [OPTIONS] [ARGUMENTS]`

An option with a variable takes its value from the environment where the flag is not given. Of options written
`--yes/--no` the first switches on, the second off. What the metrics mean is in the [glossary](glossary.md). Exit
codes: 0 done, 1 failure, 2 usage, 3 bad data or checkpoint, 4 a number that is not finite or a chain that
explodes, 129 SIGHUP, 130 Ctrl-C, 138 SIGUSR1 (on Linux), 143 SIGTERM.
"""


class Parameter(NamedTuple):
    """An argument or option as the reference shows it."""

    names: list[str]  # of an argument its placeholder alone
    placeholder: str  # of an option's value; "" for a switch
    text: str
    default: str
    variable: str
    panel: str
    is_option: bool
    required: bool
    repeatable: bool


def parameters_of(function: Callable[..., Any]) -> list[Parameter]:
    """Every argument and option of a command's function, in order."""
    found = []
    for name, parameter in inspect.signature(flat(function)).parameters.items():
        kind = parameter.annotation
        info = [item for item in getattr(kind, "__metadata__", ()) if isinstance(item, ParameterInfo)]
        if info and not info[0].hidden:
            found.append(_parameter(name, typing.get_args(kind)[0], info[0], parameter.default))
    return found


def _parameter(name: str, annotation: Any, info: ParameterInfo, default: Any) -> Parameter:
    kind, repeatable = _kind_of(annotation)
    is_option, is_switch = isinstance(info, OptionInfo), kind is bool
    names = _names(name, info, is_switch)
    placeholder = "" if is_switch else info.metavar or _placeholder(kind)
    variables = [info.envvar] if isinstance(info.envvar, str) else list(info.envvar or ())
    text = " ".join((info.help or "").split())
    return Parameter(
        names=names if is_option else [info.metavar or name.upper()],
        placeholder=placeholder,
        text=f"{text} {_bounds(info)}".strip(),
        default=_default(info.show_default, default, names[0]),
        variable=", ".join(variables),
        panel=info.rich_help_panel or ("Options" if is_option else "Arguments"),
        is_option=is_option,
        required=default is inspect.Parameter.empty,
        repeatable=repeatable,
    )


def _names(name: str, info: ParameterInfo, is_switch: bool) -> list[str]:
    """The spellings of an option, long before short; Typer keeps the first one given where a default may stand."""
    first = [info.default] if isinstance(info.default, str) else []
    plain = name.replace("_", "-")
    declared = [*first, *(info.param_decls or ())] or [
        f"--{plain}/--no-{plain}" if is_switch else f"--{plain}"
    ]
    return sorted(declared, key=lambda one: not one.startswith("--"))


def _kind_of(annotation: Any) -> tuple[Any, bool]:
    """The type of one value, and whether there may be several."""
    options = [item for item in typing.get_args(annotation) if item is not NoneType]
    if typing.get_origin(annotation) is list:
        return options[0], True
    if len(options) == 1 and NoneType in typing.get_args(annotation):
        return _kind_of(options[0])
    return annotation, False


def _placeholder(kind: Any) -> str:
    return "|".join(typing.get_args(kind)) if typing.get_origin(kind) is Literal else PLACEHOLDERS[kind]


def _bounds(info: ParameterInfo) -> str:
    if info.min is not None and info.max is not None:
        return f"From {info.min:g} to {info.max:g}."
    if info.min is not None:
        return f"At least {info.min:g}."
    return f"At most {info.max:g}." if info.max is not None else ""


def _default(shown: bool | str, default: Any, names: str) -> str:
    """What a reader is told: the words for it, the value, or of a pair of switches the one that holds."""
    if isinstance(shown, str):
        return shown
    if not shown or default in (None, inspect.Parameter.empty):
        return ""
    if isinstance(default, bool):
        pair = [name.strip() for name in names.split("/")]
        return pair[0 if default else 1] if len(pair) == 2 else ""
    return str(default)


def section(words: str, function: Callable[..., Any], heading: str) -> Iterator[str]:
    """A command: its usage, what it does, its arguments and options by panel."""
    parameters = parameters_of(function)
    yield f"{heading} sritool {words}"
    yield f"```\n{usage(words, parameters)}\n```"
    yield from description(function)
    yield from tables(parameters)


def usage(words: str, parameters: list[Parameter]) -> str:
    """`sritool train [OPTIONS] NAME`."""
    arguments = []
    for argument in (parameter for parameter in parameters if not parameter.is_option):
        name = argument.names[0]
        if argument.repeatable:
            name = name if "…" in name else f"{name}…"
        arguments.append(name if argument.required else f"[{name}]")
    return " ".join(["sritool", words, "[OPTIONS]", *arguments])


def description(function: Callable[..., Any]) -> Iterator[str]:
    """A docstring's paragraphs; neighbouring examples become one block of code."""
    examples: list[str] = []
    for paragraph in [*documentation(function)[0].split("\n\n"), ""]:
        if EXAMPLE.fullmatch(paragraph):
            examples.append(paragraph)
            continue
        if examples:
            yield "```sh\n" + "\n".join(examples) + "\n```"
            examples = []
        if paragraph:
            yield escaped(paragraph)


def tables(parameters: list[Parameter]) -> Iterator[str]:
    """One table a panel: arguments, options, and the headings that the help has too."""
    panels: dict[str, list[Parameter]] = {}
    for parameter in sorted(parameters, key=lambda one: (one.is_option, one.panel != "Options")):
        panels.setdefault(parameter.panel, []).append(parameter)
    for panel, members in panels.items():
        title = "argument" if not members[0].is_option else "option"
        columns = [title, "meaning", *(["default"] if any(one.default for one in members) else [])]
        columns += ["variable"] if any(one.variable for one in members) else []
        rows = [[_cell(column, member) for column in columns] for member in members]
        yield f"**{panel}**"
        yield "\n".join(f"| {' | '.join(row)} |" for row in [columns, ["---"] * len(columns), *rows])


def _cell(column: str, parameter: Parameter) -> str:
    if column == "meaning":
        again = (
            " Repeatable."
            if parameter.repeatable and not re.search("epeat|more than once", parameter.text)
            else ""
        )
        return escaped(parameter.text + again)
    if column == "default":
        return escaped(parameter.default)
    if column == "variable":
        return code(parameter.variable) if parameter.variable else ""
    names = list(map(code, parameter.names))
    if parameter.placeholder and parameter.is_option:
        names[0] = code(f"{parameter.names[0]} {parameter.placeholder}")
    return ", ".join(names)


def code(text: str) -> str:
    """A code span that a table can hold."""
    return "`" + text.replace("|", r"\|") + "`"


def escaped(text: str) -> str:
    """Text whose angle brackets, stars and bars are no markup."""
    return re.sub(r"([<*|`\\])", r"\\\1", text)


def anchor(words: str) -> str:
    """The target of a link to the heading of a command."""
    return "#sritool-" + words.replace(" ", "-")


def contents(
    names: Mapping[str, str], functions: Mapping[str, Callable[..., Any]], before: str = ""
) -> Iterator[str]:
    """A list of links by heading, each with the first line of the command's help."""
    for panel in dict.fromkeys(names.values()):
        yield f"**{panel}**"
        lines = []
        for name in (name for name, its in names.items() if its == panel):
            summary = escaped(documentation(functions[name])[0].split("\n\n")[0])
            lines.append(f"- [`{before}{name}`]({anchor(before + name)}): {summary}")
        yield "\n".join(lines)


def functions_of(names: Mapping[str, str], package: str) -> dict[str, Callable[..., Any]]:
    """The function of each command, from the module of its name."""
    modules = {name: name.replace("-", "_") for name in names}
    return {name: getattr(importlib.import_module(f"{package}.{own}"), own) for name, own in modules.items()}


def reference() -> str:
    """The whole page."""
    commands = functions_of(COMMANDS, "sritool.cli.commands")
    kinds = functions_of(KINDS, "sritool.cli.plots")
    parts = [INTRODUCTION.rstrip(), *contents(COMMANDS, commands), "## Global options"]
    parts += [
        "They stand before the command. Beside them are `--help` (`-h`), which every command has too, and "
        "`--install-completion` and `--show-completion` for the shell."
    ]
    parts += list(tables(parameters_of(global_options)))[1:]
    for name, function in commands.items():
        if name != "plot":
            parts += section(name, function, "##")
            continue
        parts += ["## sritool plot", "```\nsritool plot KIND [OPTIONS] [CKPT …]\n```", *description(function)]
        parts += contents(KINDS, kinds, "plot ")
        for kind, draw in kinds.items():
            parts += section(f"plot {kind}", draw, "###")
    return "\n\n".join(parts) + "\n"


if __name__ == "__main__":
    TARGET.write_text(reference(), encoding="utf-8")

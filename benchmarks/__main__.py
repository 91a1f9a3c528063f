"""Run one of the benchmarks in `BENCHMARKS`: `python -m benchmarks NAME`. Each has `--help`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Any

from benchmarks.options import context_of
from benchmarks.report import machine, show
from sritool.errors import SritoolError

BENCHMARKS = (
    "chain",
    "train",
    "evaluate",
    "sample",
    "preprocess",
    "growth",
    "corpora",
    "equality",
    "scale",
    "processes",
    "words",
    "schedules",
    "chain-ends",
    "vocabulary",
)


def module_of(name: str) -> Any:
    """Import the module of a benchmark, which has a docstring for `--help`, `add_options` and `run`."""
    return import_module(f"benchmarks.{name.replace('-', '_')}")


def parser() -> argparse.ArgumentParser:
    """Build a parser with one sub-command per benchmark."""
    top = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    commands = top.add_subparsers(dest="benchmark", required=True)
    for name in BENCHMARKS:
        module, form = module_of(name), argparse.RawDescriptionHelpFormatter
        text = module.__doc__.strip()
        command = commands.add_parser(name, help=text.splitlines()[0], description=text, formatter_class=form)
        module.add_options(command)
    return top


def main(words: Sequence[str] | None = None) -> int:
    """Run one benchmark and return its exit code: 1 if a bound that it checks is broken."""
    arguments = parser().parse_args(words)
    try:
        context = context_of(arguments)
        described = machine(context.device)
        report = module_of(arguments.benchmark).run(context, arguments)
    except SritoolError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    show(report, arguments.format, described)
    return int(report.failed)


if __name__ == "__main__":
    sys.exit(main())

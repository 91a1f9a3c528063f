"""`python -m benchmarks NAME`, of those in `BENCHMARKS`; each has `--help`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from benchmarks import (
    chain,
    chain_ends,
    corpora,
    equality,
    evaluate,
    growth,
    preprocess,
    processes,
    sample,
    scale,
    schedules,
    train,
    vocabulary,
    words,
)
from benchmarks.options import add_command, context_of
from benchmarks.report import machine, show
from sritool.errors import SritoolError

BENCHMARKS = {
    "chain": chain,
    "train": train,
    "evaluate": evaluate,
    "sample": sample,
    "preprocess": preprocess,
    "growth": growth,
    "corpora": corpora,
    "equality": equality,
    "scale": scale,
    "processes": processes,
    "words": words,
    "schedules": schedules,
    "chain-ends": chain_ends,
    "vocabulary": vocabulary,
}


def parser() -> argparse.ArgumentParser:
    """One sub-command a benchmark."""
    top = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    commands = top.add_subparsers(dest="benchmark", required=True)
    for name, module in BENCHMARKS.items():
        add_command(commands, name, module)
    return top


def main(words: Sequence[str] | None = None) -> int:
    """Run one benchmark; the exit code is 1 where a bound that it checks is broken."""
    arguments = parser().parse_args(words)
    try:
        context = context_of(arguments)
        described = machine(context.device)
        report = BENCHMARKS[arguments.benchmark].run(context, arguments)
    except SritoolError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    show(report, arguments.format, described)
    return int(report.failed)


if __name__ == "__main__":
    sys.exit(main())

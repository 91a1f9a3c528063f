"""`PYTHONPATH=tests python -m faults.harness hostile|fuzz|text [options]` does damage at length.

Each part does damage, checks how the program meets it, and prints counts. The exit code is 1 where a check broke.
"""

from __future__ import annotations

import argparse
import importlib
import sys
import time
from collections.abc import Sequence

from sritool.errors import SritoolError

PARTS = ("hostile", "fuzz", "text")


def main(words: Sequence[str] | None = None) -> int:
    """Run one part and print what it counted, a line each: part, count, what."""
    parts = {name: importlib.import_module(f"faults.harness.{name}") for name in PARTS}
    parser = argparse.ArgumentParser(prog="python -m faults.harness", description=__doc__)
    commands = parser.add_subparsers(dest="part", required=True)
    for name, module in parts.items():
        module.add_options(commands.add_parser(name, description=module.__doc__))
    arguments = parser.parse_args(words)
    began = time.perf_counter()
    try:
        counts = parts[arguments.part].run(arguments)
    except (AssertionError, SritoolError) as error:
        print(f"{arguments.part}: broken: {error}", file=sys.stderr)
        return 1
    counts["seconds"] = round(time.perf_counter() - began, 1)
    for what, count in counts.items():
        print(arguments.part, count, what, sep="\t")
    return 0


if __name__ == "__main__":
    sys.exit(main())

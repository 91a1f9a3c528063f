"""`python -m benchmarks.faults [kill|pipes|hostile|fuzz|text] [options]`; without a name all, one after another.

Each part does damage, checks how the program meets it, and hands back counts. The exit code is 1 where a check broke.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import sys
import time
from collections.abc import Sequence
from types import ModuleType

from benchmarks.options import add_command
from benchmarks.report import FORMATS, Report, machine, show
from sritool.cli.render import Table, say
from sritool.errors import SritoolError

PARTS = ("kill", "pipes", "hostile", "fuzz", "text")


def parts_there() -> dict[str, ModuleType]:
    """The parts by name; each has `add_options(parser)` and `run(arguments)`, which gives its counts."""
    names = [name for name in PARTS if importlib.util.find_spec(f"benchmarks.faults.{name}")]
    return {name: importlib.import_module(f"benchmarks.faults.{name}") for name in names}


def parser(parts: dict[str, ModuleType]) -> argparse.ArgumentParser:
    """One sub-command a part."""
    top = argparse.ArgumentParser(
        prog="python -m benchmarks.faults",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    top.add_argument(
        "--format", choices=FORMATS, default="auto", help="json is one document with the machine"
    )
    commands = top.add_subparsers(dest="part")
    for name, module in parts.items():
        one = add_command(commands, name, module)
        # After the part's name it may stand too; there its default must not undo what stood before.
        one.add_argument("--format", choices=FORMATS, default=argparse.SUPPRESS, help=argparse.SUPPRESS)
    return top


def main(words: Sequence[str] | None = None) -> int:
    """Run the parts asked for; each is run to its end, whatever broke in another."""
    import torch

    parts = parts_there()
    options = parser(parts)
    arguments = options.parse_args(words)
    described = machine(torch.device("cpu"))
    report = Report("faults", {})
    rows: list[list[object]] = []
    for name in [arguments.part] if arguments.part else list(parts):
        own = arguments if arguments.part else options.parse_args([name])
        began = time.perf_counter()
        try:
            counts = dict(parts[name].run(own))
        except (AssertionError, SritoolError) as error:  # a Broken, or what passed all checks
            say(f"{name}: {' '.join(str(error).split()) or type(error).__name__}", label="error")
            counts, report.failed = {"checks broken": 1}, True
        counts["seconds"] = round(time.perf_counter() - began, 1)
        report.settings[name] = {key: str(value) for key, value in vars(own).items() if key != "part"}
        report.results[name] = counts
        rows += [[name, what, count] for what, count in counts.items()]
    report.tables.append(Table("Faults", ("part", "what", "count"), rows))
    show(report, arguments.format, described)
    return int(report.failed)


if __name__ == "__main__":
    sys.exit(main())

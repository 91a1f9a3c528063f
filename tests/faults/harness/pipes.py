"""Standard streams that are closed, full, or without a reader, under every command that prints.

Each command runs once undisturbed, and then under every fault. The table on stdout is the same byte for byte where
only stderr is disturbed; a full disk is one line and exit code 1; a reader that leaves is no error; nothing is ever a
traceback, and the interpreter finds nothing to complain of at its end.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from faults.harness import Broken
from faults.harness.kill import Laboratory, laboratory
from faults.harness.scene import sentences, train
from faults.harness.zygote import CLOSED, Done, Zygote

from sritool.cli.render import say

FULL = Path("/dev/full")
LOST = "error: cannot write the output: No space left on device; send it where there is room"


class Command(NamedTuple):
    """A command that prints; `reads` says that it needs its stdin."""

    args: tuple[object, ...]
    stdin: bytes = b""
    reads: bool = False


def commands() -> dict[str, Command]:
    """Every command, in the folder that `furnish` has made."""
    run, small = "mine-sri", ("--limit", 4, "--threads", 1)
    many = "\n".join(sentences(60, 6)).encode()
    few = "\n".join(sentences(3, 5)).encode() + b"\n\n"
    measures = ("--metrics", "nll,recon", "--samples", 4)
    shape = ("--sentences", 2, "--chains", 8, "--grid", "0.5,1", "--shape", "checkpoint")
    return {
        "preprocess": Command(("preprocess", "-", "--name", "piped"), many, True),
        "train": Command(train("sri", "--resume", "--summary"), b""),
        "tune-step": Command(("tune-step", run, *shape)),
        "evaluate": Command(("evaluate", run, *measures, *small)),
        "compare": Command(("compare", run, *measures, *small)),
        "score": Command(("score", run, "--samples", 4), few, True),
        "info": Command(("info", run)),
        "sample": Command(("sample", run, "-n", 3)),
        "interpolate": Command(("interpolate", run, "--points", 3)),
        "encode": Command(("encode", run), few, True),
        "encode .npy": Command(("encode", run, "-f", "npy"), few, True),
        "decode": Command(("decode", run), b"0.5 -1\n0 0\n", True),
        "noisy-recon": Command(("noisy-recon", run, "--limit", 4)),
        "classify": Command(("classify", "lab-sri", "--labels", 0, "--draws", 1, "--limit", 12)),
        "plot curves": Command(("plot", "curves", run, "--show-data")),
        "plot frontier": Command(("plot", "frontier", run, "--limit", 4, "--show-data")),
        "plot ppl-draws": Command(("plot", "ppl-draws", run, "--limit", 4, "--show-data")),
        "plot noisy-recon": Command(("plot", "noisy-recon", run, "--limit", 4, "--show-data")),
        "plot tune-step": Command(("plot", "tune-step", run, "--show-data")),
        "plot latent": Command(("plot", "latent", run, "--split", "train", "--limit", 24, "--show-data")),
        "plot traversal": Command(("plot", "traversal", run, "--show-data")),
        "report": Command(("report", run, "-o", "-", "--limit", 4, "--map-sentences", 12)),
        "--help": Command(("--help",)),
        "score --help": Command(("score", "--help")),
        "--version": Command(("--version",)),
        "train --print-config": Command(("train", "mine", "--print-config")),
    }


def furnish(lab: Laboratory, folder: Path) -> None:
    """A copy of the laboratory's base, with a labelled corpus and a run on it."""
    shutil.copytree(lab.folder / "base", folder, dirs_exist_ok=True)
    for number, (name, count) in enumerate({"train": 24, "valid": 12, "test": 12}.items()):
        lines = [f"{'ab'[k % 2]}\t{line}\n" for k, line in enumerate(sentences(count, 20 + number))]
        (folder / f"labelled-{name}.tsv").write_text("".join(lines), encoding="utf-8")
    files = [f"labelled-{name}.tsv" for name in ("train", "valid", "test")]
    lab.must(("preprocess", *files, "--name", "lab"), folder)
    lab.must(("train", "lab", *train("sri")[2:], "--max-steps", 1), folder)


class Desk:
    """A folder, and processes of the program in it."""

    def __init__(self, zygote: Zygote, folder: Path) -> None:
        self.zygote, self.folder = zygote, folder

    def run(self, command: Command, **streams: int | bytes) -> Done:
        """Run a command under these streams."""
        settings: dict[str, Any] = {"stdin": command.stdin, **streams}
        return self.zygote.run(command.args, cwd=self.folder, **settings)


def meet(desk: Desk, name: str, command: Command, chosen: Sequence[str] = ()) -> int:
    """One command under the faults of these names, or every one; how many there were. Raises: Broken."""
    faults = [fault for fault in FAULTS if not chosen or fault.__name__ in chosen]
    whole = desk.run(command)
    if {closed_output, no_reader} & set(faults):  # which compare what is said: figures are on record by now
        whole = desk.run(command)
    check(name, "undisturbed", whole, whole.code == 0)
    for fault in faults:
        fault(desk, name, command, whole)
    return len(faults)


def full_disk(desk: Desk, name: str, command: Command, whole: Done) -> None:
    """`> /dev/full`"""
    with opened(os.open(FULL, os.O_WRONLY)) as stdout:
        done = desk.run(command, stdout=stdout)
    errors = [line for line in done.err.splitlines() if line.startswith("error")]
    check(name, "full disk", done, done.code == 1 and errors == [LOST] == done.err.splitlines()[-1:])


def closed_output(desk: Desk, name: str, command: Command, whole: Done) -> None:
    """`>&-`"""
    done = desk.run(command, stdout=CLOSED)
    check(name, "closed stdout", done, done.code == 0 and talk(done) == talk(whole))


def no_reader(desk: Desk, name: str, command: Command, whole: Done) -> None:
    """`| true`: what is said on stderr is said all the same."""
    with without_reader() as stdout:
        done = desk.run(command, stdout=stdout)
    check(name, "no reader", done, done.code == 0 and talk(done) == talk(whole))


def closed_errors(desk: Desk, name: str, command: Command, whole: Done) -> None:
    """`2>&-`"""
    same_output(name, "closed stderr", desk.run(command, stderr=CLOSED), whole)


def full_errors(desk: Desk, name: str, command: Command, whole: Done) -> None:
    """`2> /dev/full`"""
    with opened(os.open(FULL, os.O_WRONLY)) as stderr:
        same_output(name, "full stderr", desk.run(command, stderr=stderr), whole)


def unread_errors(desk: Desk, name: str, command: Command, whole: Done) -> None:
    """`2> >(true)`"""
    with without_reader() as stderr:
        same_output(name, "stderr without a reader", desk.run(command, stderr=stderr), whole)


def closed_input(desk: Desk, name: str, command: Command, whole: Done) -> None:
    """`<&-` is an empty input."""
    done = desk.run(command, stdin=CLOSED)
    if command.reads:
        empty = done.err.startswith("error: standard input is empty; give ") and done.err.count("\n") == 1
        check(name, "closed stdin", done, done.code == 3 and empty and done.out == "")
    else:
        same_output(name, "closed stdin", done, whole)


FAULTS = (full_disk, closed_output, no_reader, closed_errors, full_errors, unread_errors, closed_input)


def same_output(name: str, fault: str, done: Done, whole: Done) -> None:
    """The same on stdout; of the page of a report, which has the time, only that it is whole."""
    end = done.out.rstrip().endswith("</html>") and done.out[:500] == whole.out[:500]
    check(name, fault, done, done.code == 0 and (done.out == whole.out or (name == "report" and end)))


def talk(done: Done) -> list[str]:
    """What is said on stderr, without lines of progress."""
    return [line for line in done.err.splitlines() if "/s · " not in line and "  0/" not in line]


def check(name: str, fault: str, done: Done, met: bool) -> None:
    """Raises: Broken if it was not met, or the interpreter had to complain."""
    if not met or "Traceback" in done.err or "Exception ignored" in done.err:
        raise Broken(f"{name}, {fault}: exit code {done.code}, stderr: {done.err[-500:]}")


@contextlib.contextmanager
def opened(descriptor: int) -> Iterator[int]:
    """A descriptor, closed at the end."""
    try:
        yield descriptor
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def without_reader() -> Iterator[int]:
    """The end to write to of a pipe whose other end is closed."""
    read, write = os.pipe()
    os.close(read)
    with opened(write):
        yield write


def add_options(parser: argparse.ArgumentParser) -> None:
    """Those of `python -m faults.harness pipes`."""
    names = list(commands())
    parser.add_argument("--commands", nargs="+", default=names, choices=names, metavar="COMMAND")


def run(arguments: argparse.Namespace) -> dict[str, int | float]:
    """Every command under every fault. Raises: Broken."""
    table: dict[str, Command] = commands()
    met = 0
    with Zygote() as zygote, laboratory(zygote) as lab, tempfile.TemporaryDirectory() as folder:
        furnish(lab, Path(folder))
        desk = Desk(zygote, Path(folder))
        for name in arguments.commands:
            met += meet(desk, name, table[name])
            say(f"{name}: {met} in all")
    return {"commands": len(arguments.commands), "faults of pipes met": met}

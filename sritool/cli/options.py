"""Options and arguments that several commands share, as annotated types: the default stands in the command.

    def sample(checkpoint: CheckpointArg = None, n: CountOpt = 10, fmt: FormatOpt = "auto") -> None:

No path is checked with `exists=True`: that would refuse `-`, and the task's own message for a missing file
says more.
"""

from __future__ import annotations

import contextlib
import errno
import os
from pathlib import Path
from typing import Annotated

import typer

from sritool.cli.formats import Format
from sritool.cli.units import parse_bytes, parse_duration
from sritool.errors import SritoolError, UsageError

DEVICE_PANEL = "Device"
FILES_PANEL = "Files and output"
SPLITS = ("train", "valid", "test")

TRIAL_BYTES = 4096  # that a disk with room takes
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def duration(text: str | float) -> float:
    """Seconds, for an option like `--max-time 9m`; the parser's own error on anything else."""
    if isinstance(text, int | float):
        return float(text)
    try:
        return parse_duration(text)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None


def check_writable(path: Path, option: str = "-o") -> None:
    """Whether a file can be written there, found by trying; to be asked before the work.

    Raises: UsageError if the place is impossible; SritoolError if its disk has no room.
    """
    import tempfile

    try:
        found = None
        with contextlib.suppress(FileNotFoundError):
            found = path.stat()
        if path.is_dir() or not path.parent.is_dir():
            raise UsageError(f"{option} {path} cannot be written; give a file in a folder that is there")
        if found is not None and not os.access(path, os.W_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        if found is None or path.is_file():
            # A link goes on pointing to what it points to; the trial has no name and is gone at once.
            with tempfile.TemporaryFile(dir=Path(os.path.realpath(path)).parent) as trial:
                trial.write(bytes(TRIAL_BYTES))
                trial.flush()
    except OSError as error:
        refusal = f"{option} {path} cannot be written: {error.strerror or type(error).__name__}"
        if error.errno in FULL:
            raise SritoolError(f"{refusal}; free some space, or give a file on another disk") from error
        raise UsageError(f"{refusal}; give a file in another folder") from error


def size(text: str | int) -> int:
    """Bytes, for an option like `--memory 4G`; the parser's own error on anything else."""
    if isinstance(text, int):
        return text
    try:
        return parse_bytes(text)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None


def known_split(name: str | None) -> str | None:
    """The name itself; the parser's own error if no corpus has such a split."""
    if name is not None and name not in SPLITS:
        raise typer.BadParameter(f"{name!r} is no split; give {', '.join(SPLITS[:-1])} or {SPLITS[-1]}")
    return name


def split_names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip())


def parse_counts(text: str) -> tuple[int, ...]:
    """Whole numbers of a list like `0,2,5-8`. Raises: UsageError for anything else."""
    found: list[int] = []
    for part in text.split(","):
        first, dash, last = (piece.strip() for piece in part.partition("-"))
        if not (first.isdecimal() and (last.isdecimal() if dash else True)) or len(first + last) > 8:
            raise UsageError(f"--k {text} is no list of whole numbers; give one like 0-4 or 0,2,5-8")
        ends = int(first), int(last or first)
        if ends[1] < ends[0] or ends[1] - ends[0] > 1000:
            raise UsageError(f"--k {text} has no range {part.strip()}; give one like 0-4 or 0,2,5-8")
        found += range(ends[0], ends[1] + 1)
    return tuple(found)


FormatOpt = Annotated[
    Format,
    typer.Option(
        "--format",
        "-f",
        envvar="SRITOOL_FORMAT",
        metavar="FORMAT",
        help="auto (a table on a terminal, TSV in a pipe), table, tsv, plain (TSV without its header), "
        "json (lines), csv, markdown or latex.",
        rich_help_panel=FILES_PANEL,
    ),
]

DataDirOpt = Annotated[
    Path,
    typer.Option(
        "--data-dir",
        envvar="SRITOOL_DATA_DIR",
        help="Folder of prepared corpora.",
        rich_help_panel=FILES_PANEL,
    ),
]

RunsDirOpt = Annotated[
    Path,
    typer.Option(
        "--runs-dir", envvar="SRITOOL_RUNS_DIR", help="Folder of training runs.", rich_help_panel=FILES_PANEL
    ),
]

QuietOpt = Annotated[
    bool,
    typer.Option(
        "--quiet/--no-quiet",
        "-q",
        envvar="SRITOOL_QUIET",
        help="Show no progress on stderr.",
        rich_help_panel=FILES_PANEL,
    ),
]

CheckpointArg = Annotated[
    Path | None,
    typer.Argument(
        metavar="CKPT",
        envvar="SRITOOL_CHECKPOINT",
        help="A checkpoint file or a run folder; without one, the newest run.",
        show_default=False,
    ),
]

CheckpointsArg = Annotated[
    list[Path] | None,
    typer.Argument(
        metavar="CKPT",
        envvar="SRITOOL_CHECKPOINT",
        help="Checkpoint files or run folders; without one, the newest run.",
        show_default=False,
    ),
]

SeedOpt = Annotated[
    int, typer.Option("--seed", min=0, envvar="SRITOOL_SEED", help="Seed of every random draw.")
]

CountOpt = Annotated[int, typer.Option("--n", "-n", min=1, help="How many sentences.")]

LimitOpt = Annotated[
    int | None,
    typer.Option("--limit", min=1, help="Only this many sentences; without it, all.", show_default=False),
]

BatchSizeOpt = Annotated[
    int | None,
    typer.Option(
        "--batch-size",
        min=1,
        envvar="SRITOOL_BATCH_SIZE",
        help="Sentences worked on side by side; changes speed and memory, not results.",
        show_default="64",
    ),
]

AgainOpt = Annotated[
    bool,
    typer.Option("--again", help="Measure anew what is on record in evaluations.jsonl beside a checkpoint."),
]

SplitOpt = Annotated[
    str | None,
    typer.Option(
        "--split",
        callback=known_split,
        help="Split of the prepared corpus: train, valid or test.",
        show_default="test",
    ),
]

TextOpt = Annotated[
    str | None,
    typer.Option(
        "--text",
        metavar="FILE|-",
        help="Sentences from a file, one a line, or - for stdin; .tsv, .csv and .jsonl as preprocess has them.",
        show_default=False,
    ),
]

GpuOpt = Annotated[
    str | None,
    typer.Option(
        "--gpu",
        metavar="N",
        envvar="SRITOOL_GPU",
        help="CUDA device by its number, like 0; wins over --device.",
        show_default=False,
        rich_help_panel=DEVICE_PANEL,
    ),
]

DeviceOpt = Annotated[
    str,
    typer.Option(
        "--device",
        metavar="NAME",
        envvar="SRITOOL_DEVICE",
        help="cpu, cuda:0, mps, or auto: a CUDA GPU if there is one, else the CPU.",
        rich_help_panel=DEVICE_PANEL,
    ),
]

ThreadsOpt = Annotated[
    int | None,
    typer.Option(
        "--threads",
        min=1,
        envvar="SRITOOL_THREADS",
        help="CPU threads; without it, as many as there are cores.",
        show_default=False,
        rich_help_panel=DEVICE_PANEL,
    ),
]

MemoryOpt = Annotated[
    int,
    typer.Option(
        "--memory",
        parser=size,
        metavar="SIZE",
        envvar="SRITOOL_MEMORY",
        help="About as much memory as may be taken, like 4G or 500M; changes speed, not results.",
        show_default="4G",
        rich_help_panel=DEVICE_PANEL,
    ),
]

MaxTimeOpt = Annotated[
    float | None,
    typer.Option(
        "--max-time",
        parser=duration,
        metavar="TIME",
        envvar="SRITOOL_MAX_TIME",
        help="Be done after this long, preparing, validation and the final measures included: 90s, 9m, 1h30m or "
        "00:09:00. Training stops and is saved early enough.",
        show_default=False,
        rich_help_panel="This run",
    ),
]

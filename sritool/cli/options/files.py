"""Options for the files that are read and written, and for what is printed.

No path is checked with `exists=True`: that would refuse `-`, and the task's own message for a missing file says more.
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from sritool.cli.formats import Format
from sritool.cli.progress import task_progress
from sritool.cli.render import resolve_format
from sritool.cli.signatures import in_panel
from sritool.errors import FULL, SritoolError, UsageError

file_option = in_panel("Files and output")

TRIAL_BYTES = 4096  # written to see whether the disk has room

FormatOpt = Annotated[
    Format,
    file_option(
        "--format",
        "-f",
        help="auto (a table on a terminal, TSV in a pipe), table, tsv, plain (TSV without its header), json "
        "(lines), csv, markdown or latex.",
        envvar="SRITOOL_FORMAT",
        metavar="FORMAT",
    ),
]
QuietOpt = Annotated[
    bool, file_option("--quiet/--no-quiet", "-q", help="Show no progress on stderr.", envvar="SRITOOL_QUIET")
]
DataDirOpt = Annotated[
    Path, file_option("--data-dir", help="Folder of prepared corpora.", envvar="SRITOOL_DATA_DIR")
]
RunsDirOpt = Annotated[
    Path, file_option("--runs-dir", help="Folder of training runs.", envvar="SRITOOL_RUNS_DIR")
]
TextOpt = Annotated[
    str | None,
    typer.Option(
        "--text",
        help="Sentences from a file, one per line, or - for stdin; .tsv, .csv and .jsonl are read as by preprocess.",
        metavar="FILE|-",
        show_default=False,
    ),
]


def column_option(what: str, make: Callable[..., Any]) -> Any:
    """Return the option for the column of a table with its text or label; `make` puts it under a heading."""
    usual = "by its name or contents"
    text = f"Column or key of the {what}, by name or number."
    return make(f"--{what}-column", f"--{what}-key", help=text, show_default=usual)


@dataclass(frozen=True)
class NewCheckpointOptions:
    """Where a changed checkpoint is written, if anywhere.

    Attributes:
        write: Write the changed checkpoint to this file.
        force: Replace NEW.pt if it exists.
    """

    write: Annotated[Path | None, file_option(metavar="NEW.pt")] = None
    force: Annotated[bool, file_option("--force/--no-force")] = False

    def check(self, source: Path) -> None:
        """Raise UsageError, before the work, if the checkpoint made from `source` cannot be written."""
        target = self.write
        if target is None:
            if self.force:
                raise UsageError("--force is for --write; leave it out, or give --write NEW.pt")
            return
        if target.resolve() == source.resolve():
            raise UsageError(f"--write {target} is the checkpoint itself; give another file")
        if target.is_dir():
            raise UsageError(f"--write {target} is a folder; give a file, like {target / 'new.pt'}")
        if target.exists() and not self.force:
            raise UsageError(f"{target} exists; give another file, or --force to replace it")
        if not target.parent.is_dir():
            raise UsageError(f"--write {target}: there is no folder {target.parent}; make it first")
        check_writable(target, "--write")

    def hold(self) -> AbstractContextManager[object]:
        """Lock the run if the file is a run's best.pt or last.pt; raise UsageError if that run is in use."""
        from sritool.runs.folder import BEST, LAST, hold

        if self.write is None or self.write.resolve().name not in (BEST, LAST):
            return contextlib.nullcontext()
        return hold(self.write.resolve().parent)


@dataclass(frozen=True)
class OutputOptions:
    """What is printed on stdout, and whether progress is shown on stderr."""

    fmt: FormatOpt = "auto"
    quiet: QuietOpt = False

    def format(self) -> str:
        """Return the format in effect, never `auto`."""
        return resolve_format(self.fmt)

    def lines_format(self) -> str:
        """Return the format of a single column of sentences, which has no header in a pipe."""
        return "plain" if self.fmt == "auto" and self.format() == "tsv" else self.format()

    def progress(
        self, kept: str = "", shown: bool = True
    ) -> AbstractContextManager[Callable[[str, int, int], None]]:
        """Show the progress of a task while entered; see `task_progress`."""
        return task_progress(self.quiet or not shown, kept)


def check_writable(path: Path, option: str = "-o") -> None:
    """Check that a file can be written there, by trying; call it before the work.

    Raises:
        UsageError: The file cannot be written there.
        SritoolError: The disk has no room.
    """
    import tempfile

    try:
        found = None
        with contextlib.suppress(FileNotFoundError):
            found = path.stat()
        if path.is_dir() or not path.parent.is_dir():
            raise UsageError(f"{option} {path} cannot be written; give a file in an existing folder")
        if found is not None and not os.access(path, os.W_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        if found is None or path.is_file():
            # The trial file has no name and is gone at once; a link keeps its target.
            with tempfile.TemporaryFile(dir=Path(os.path.realpath(path)).parent) as trial:
                trial.write(bytes(TRIAL_BYTES))
                trial.flush()
    except OSError as error:
        refusal = f"{option} {path} cannot be written: {error.strerror or type(error).__name__}"
        if error.errno in FULL:
            raise SritoolError(f"{refusal}; free some space, or give a file on another disk") from error
        raise UsageError(f"{refusal}; give a file in another folder") from error

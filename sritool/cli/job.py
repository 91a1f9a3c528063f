"""Runs a command in several processes, started here by torch's elastic launcher or by torchrun.

If one of them fails or is stopped, all end, with one line and one exit code.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import tempfile
import time
import uuid
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import typer

from sritool.cli.child import command_of
from sritool.cli.error_messages import describe
from sritool.cli.signals import SIGNALS
from sritool.cli.streams import say
from sritool.errors import EndedElsewhereError

if TYPE_CHECKING:
    from sritool.processes import Processes

_OURS = "sritool-"  # prefix of the names of jobs that `launch` started
_BEGAN = "SRITOOL_JOB_BEGAN"  # variable that tells the processes when the command began
_GRACE = 300  # seconds to save after a signal; after one process fails, torch gives the others 30


def seconds_before() -> float:
    """Return the seconds from the start of the command to that of this process; the command's time includes them."""
    return max(0.0, time.time() - float(os.environ.get(_BEGAN) or time.time()))


def launch(number: int, words: Sequence[str], began: float | None = None) -> int:
    """Run `sritool WORDS` in several processes on this machine, until all have ended.

    A signal that arrives meanwhile is passed on to all of them, which save and end.

    Args:
        number: Number of processes.
        words: Command line without `sritool`.
        began: `time.monotonic()` when the command began; None: now.

    Returns:
        The exit code of the process that failed first, or 0.
    """
    from torch.distributed.elastic.multiprocessing.api import DefaultLogsSpecs, SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    folder = tempfile.TemporaryDirectory(prefix=_OURS, ignore_cleanup_errors=True)
    config = LaunchConfig(
        min_nodes=1,
        max_nodes=1,
        nproc_per_node=number,
        run_id=f"{_OURS}{uuid.uuid4().hex}",
        rdzv_backend="c10d",
        rdzv_endpoint="localhost:0",
        max_restarts=0,
        # A signal that is ignored, as under `nohup`, stays ignored.
        signals_to_handle=",".join(
            one.name for one in SIGNALS if signal.getsignal(one) is not signal.SIG_IGN
        ),
        shutdown_timeout=_GRACE,
        logs_specs=DefaultLogsSpecs(log_dir=folder.name),  # by default torch leaves a folder behind
    )
    program, *arguments = command_of(words)
    passed = time.monotonic() - began if began is not None else 0.0
    os.environ[_BEGAN] = str(time.time() - passed)
    logging.disable(logging.CRITICAL)  # hides the launcher's own lines; the processes report everything
    try:
        with folder:
            elastic_launch(config, program)(*arguments)
    except SignalException as error:
        return 128 + int(error.sigval)
    except ChildFailedError as error:
        rank, failure = error.get_first_failure()
        if failure.exitcode >= 0:
            return int(failure.exitcode)
        number = -failure.exitcode
        again = (
            "go on with the same command and --resume" if "train" in words[:2] else "give the command again"
        )
        say(f"process {rank} was ended by {signal.Signals(number).name}; {again}", label="error")
        return 128 + number
    return 0


@contextlib.contextmanager
def ending_together(processes: Processes) -> Iterator[None]:
    """While entered, only one process of the job reports an error, and all end with its exit code.

    Raises:
        EndedElsewhereError: In processes whose error was not the first.
    """
    from sritool.processes import PeerLostError

    try:
        yield
    except BaseException as error:
        if isinstance(error, typer.Exit) and not error.exit_code:
            raise
        # If a process was lost, `launch` knows which one and how it ended.
        lost = type(error) is PeerLostError and os.environ.get("TORCHELASTIC_RUN_ID", "").startswith(_OURS)
        code = describe(error)[1]
        ended = processes.ended() or code if lost else processes.claim(code)
        processes.abandon()
        if ended is not None:
            raise EndedElsewhereError(ended) from error
        raise
    processes.close()

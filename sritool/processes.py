"""The processes that work on one job: which one this is, and what they tell each other.

torchrun starts them and says in the environment which is which. The first one, of rank 0, leads: what needs one
process alone, like writing files, it does while the others wait.

A job of one process is `ALONE`, for which all of this costs nothing. One of several is `process_group.Group`.
"""

from __future__ import annotations

import contextlib
import contextvars
import os
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from sritool.errors import SritoolError, UsageError

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

T = TypeVar("T")
PEER_TIMEOUT = 600.0  # seconds
_NEEDED = ("RANK", "MASTER_ADDR", "MASTER_PORT")


class PeerLostError(SritoolError):
    """Another process of the job has ended, or does not answer."""


class PeerSilentError(PeerLostError):
    """Another process of the job does not answer for as long as was allowed."""


class Place(NamedTuple):
    """Which process of a job this is, as torchrun says."""

    rank: int  # among all
    size: int  # how many there are
    local_rank: int  # among those on this machine
    local_size: int


def place_in_job(environment: Mapping[str, str] = os.environ) -> Place | None:
    """Return which process of a job this is, by the variables that torchrun sets; None for one that works alone.

    Raises:
        UsageError: They say that there are several processes, and not how they meet.
    """
    if not environment.get("WORLD_SIZE", "").isdecimal() or int(environment["WORLD_SIZE"]) < 2:
        return None
    size = int(environment["WORLD_SIZE"])
    missing = [name for name in _NEEDED if not environment.get(name)]
    if missing:
        raise UsageError(
            f"WORLD_SIZE={size} says that there are several processes, and {', '.join(missing)} is not set; "
            "start them with torchrun, or unset WORLD_SIZE"
        )
    rank = int(environment["RANK"])
    local_rank = int(environment.get("LOCAL_RANK") or environment.get("SLURM_LOCALID") or rank)
    local_size = int(environment.get("LOCAL_WORLD_SIZE") or size)
    return Place(rank, size, local_rank, local_size)


def restarts(environment: Mapping[str, str] = os.environ) -> int | None:
    """Return how often torchrun has started this job again, of one process or several; None without torchrun."""
    count = environment.get("TORCHELASTIC_RESTART_COUNT", "")
    return int(count) if count.isdecimal() else None


class Processes:
    """A job of one process; `Group` is one of several.

    The methods of that raise PeerLostError where another process has ended or does not answer.

    Attributes:
        rank: Number of this process, from 0.
        size: How many there are.
        signal: Gives the number of the signal that asks this process to stop, or None.
    """

    rank, size = 0, 1

    def __init__(self) -> None:
        self.signal: Callable[[], int | None] = lambda: None

    @property
    def is_first(self) -> bool:
        """Whether this process leads: it alone prints, writes and decides."""
        return self.rank == 0

    def share(self, count: int) -> slice:
        """Return which of `count` things are this process' own: neighbours, as many as others have, or one more."""
        return part_of(count, self.rank, self.size)

    def sum_(self, tensor: Tensor) -> Tensor:
        """Put the sum over all processes in the place of a tensor, the same bits everywhere, and return the tensor.

        It has one shape, type and kind of device in all processes. For a figure of each sentence in order, fill
        in those of one's own `share`, leave 0 elsewhere, and sum.
        """
        return tensor

    def broadcast_bytes(self, content: bytes) -> bytes:
        """Return what the first process gives, whatever the others give."""
        return content

    def gather(self, value: Any) -> list[Any]:
        """Return the value that each process gives, in order of rank: JSON values, and short."""
        return [value]

    def gather_arrays(self, arrays: Mapping[str, NDArray[Any]]) -> list[dict[str, NDArray[Any]]]:
        """Return the named arrays that each process gives, in order of rank: of any shapes and types but objects."""
        return [dict(arrays)]

    def barrier(self) -> None:
        """Wait until all processes are here."""

    def first(self, work: Callable[[], T], patient: bool = False) -> T:
        """Let the first process do some work alone; the others wait for it, and get what it returns, a JSON value.

        The wait has no end while that process shows with `asked` that it is at work, or where the others are
        `patient`. A signal that comes to a process that waits is passed on to it.

        Raises:
            EndedElsewhereError: It ended with an error, in the processes that wait; there the error is raised itself.
        """
        return work()

    def asked(self) -> int | None:
        """Return the signal that asks the job to stop, if one came to this process, or to one that waits for it.

        The first process asks this while it works alone, so that the others know that it is at work.
        """
        return self.signal()

    def claim(self, exit_code: int) -> int | None:
        """Return None where this process is the first to end with an error, or else the exit code of the first."""
        return None

    def ended(self) -> int | None:
        """Return the exit code of the process that was the first to end with an error, where one has said so."""
        return None

    def remember(self, name: str, value: str) -> None:
        """Keep a text for processes that are started after these have ended, by the same torchrun."""

    def remembered(self, name: str) -> str | None:
        """Return what processes that torchrun started before these ones remembered; None: nothing."""
        return None

    def close(self) -> None:
        """Leave the job."""

    def abandon(self) -> None:
        """Leave the job where another process may never answer again."""


ALONE = Processes()
"""A job of this process alone."""

_measuring: contextvars.ContextVar[Processes] = contextvars.ContextVar("measuring", default=ALONE)


@contextlib.contextmanager
def measuring_together(processes: Processes) -> Iterator[None]:
    """While entered, measurements share their batches among these processes, all of which make the same ones.

    Each gets the figures of all sentences, the same as alone; the first one alone writes them down.
    """
    before = _measuring.set(processes)
    try:
        yield
    finally:
        _measuring.reset(before)


def measuring() -> Processes:
    """Return the processes that share measurements; `ALONE` but within `measuring_together`."""
    return _measuring.get()


def part_of(count: int, number: int, parts: int) -> slice:
    """Return which of `count` things belong to a part, by its number from 0: neighbours, in order.

    Parts differ by one at most; there may be fewer things than parts.
    """
    return slice(count * number // parts, count * (number + 1) // parts)

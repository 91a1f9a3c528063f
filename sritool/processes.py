"""The processes of one job: the place of this process among them, and their communication.

torchrun starts them and sets environment variables that tell them apart. The first process, rank 0, leads: it alone
does work such as writing files, while the others wait.

A job of one process is `ALONE`, for which all of this costs nothing. A job of several is `process_group.Group`.
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
_NUMBERS = ("RANK", "LOCAL_RANK", "SLURM_LOCALID", "LOCAL_WORLD_SIZE")


class PeerLostError(SritoolError):
    """Another process of the job has ended, or does not answer."""


class PeerSilentError(PeerLostError):
    """Another process of the job does not answer within the timeout."""


class Place(NamedTuple):
    """Which process of a job this is, according to torchrun."""

    rank: int  # among all processes
    size: int  # number of processes
    local_rank: int  # among the processes on this machine
    local_size: int


def place_in_job(environment: Mapping[str, str] = os.environ) -> Place | None:
    """Return which process of a job this is, from the variables that torchrun sets; None if it works alone.

    Raises:
        UsageError: The variables say that there are several processes, but not how they meet.
    """
    if not environment.get("WORLD_SIZE", "").isdecimal() or int(environment["WORLD_SIZE"]) < 2:
        return None
    size = int(environment["WORLD_SIZE"])
    wrong = [f"{name} is not set" for name in _NEEDED if not environment.get(name)]
    given = {name: environment[name] for name in _NUMBERS if environment.get(name)}
    wrong += [f"{name}={value} is no number" for name, value in given.items() if not value.isdecimal()]
    if wrong:
        raise UsageError(
            f"WORLD_SIZE={size} says that there are several processes, but {', '.join(wrong)}; "
            "start them with torchrun, or unset WORLD_SIZE"
        )
    rank = int(environment["RANK"])
    local_rank = int(environment.get("LOCAL_RANK") or environment.get("SLURM_LOCALID") or rank)
    local_size = int(environment.get("LOCAL_WORLD_SIZE") or size)
    return Place(rank, size, local_rank, local_size)


def restarts(environment: Mapping[str, str] = os.environ) -> int | None:
    """Return how often torchrun has restarted this job; None without torchrun."""
    count = environment.get("TORCHELASTIC_RESTART_COUNT", "")
    return int(count) if count.isdecimal() else None


class Processes:
    """A job of one process; `Group` is a job of several.

    The methods of `Group` raise PeerLostError if another process has ended or does not answer.

    Attributes:
        rank: Number of this process, from 0.
        size: Number of processes.
        signal: Returns the number of the signal that asks this process to stop, or None.
    """

    rank, size = 0, 1

    def __init__(self) -> None:
        self.signal: Callable[[], int | None] = lambda: None

    @property
    def is_first(self) -> bool:
        """Whether this process leads: it alone prints, writes and decides."""
        return self.rank == 0

    def share(self, count: int) -> slice:
        """Return which of `count` items belong to this process: a contiguous range; shares differ by at most one."""
        return part_of(count, self.rank, self.size)

    def sum_(self, tensor: Tensor) -> Tensor:
        """Replace a tensor by its sum over all processes, identical to the bit everywhere, and return it.

        Its shape, type and kind of device are the same in all processes. To collect one figure per sentence, in
        order, fill in this process' `share`, leave the rest 0, and sum.
        """
        return tensor

    def broadcast_bytes(self, content: bytes) -> bytes:
        """Return the bytes that the first process passes; those of the others are ignored."""
        return content

    def gather(self, value: Any) -> list[Any]:
        """Return the values that the processes pass, in order of rank: short JSON values."""
        return [value]

    def gather_arrays(self, arrays: Mapping[str, NDArray[Any]]) -> list[dict[str, NDArray[Any]]]:
        """Return the named arrays that the processes pass, in order of rank: any shapes, any types except objects."""
        return [dict(arrays)]

    def barrier(self) -> None:
        """Wait until all processes reach this point."""

    def first(self, work: Callable[[], T], patient: bool = False) -> T:
        """Let the first process do some work alone; the others wait, and receive its result, a JSON value.

        They wait as long as the first process shows by calling `asked` that it is working, or for ever if `patient`.
        A signal to a waiting process is passed on to the first one.

        Raises:
            EndedElsewhereError: In waiting processes, if the work failed; the first process raises the error itself.
        """
        return work()

    def asked(self) -> int | None:
        """Return the signal that asks the job to stop, if this process or one waiting for it received one.

        The first process calls this while it works alone, which also tells the others that it is working.
        """
        return self.signal()

    def claim(self, exit_code: int) -> int | None:
        """Return None if this process is the first to end with an error, otherwise the exit code of the first."""
        return None

    def ended(self) -> int | None:
        """Return the exit code of the first process to end with an error; None if none has reported one."""
        return None

    def remember(self, name: str, value: str) -> None:
        """Keep a text for processes that the same torchrun starts after these have ended."""

    def remembered(self, name: str) -> str | None:
        """Return the text that earlier processes of the same torchrun kept; None: no text."""
        return None

    def close(self) -> None:
        """Leave the job."""

    def abandon(self) -> None:
        """Leave the job when another process may never answer again."""


ALONE = Processes()
"""A job of this process alone."""

_measuring: contextvars.ContextVar[Processes] = contextvars.ContextVar("measuring", default=ALONE)


@contextlib.contextmanager
def sharing_measurements(processes: Processes) -> Iterator[None]:
    """Divide the batches of measurements among these processes while entered; all must make the same measurements.

    Every process receives the figures of all sentences, the same as one working alone; only the first writes them.
    """
    before = _measuring.set(processes)
    try:
        yield
    finally:
        _measuring.reset(before)


def measuring() -> Processes:
    """Return the processes that share measurements; `ALONE` outside `sharing_measurements`."""
    return _measuring.get()


def part_of(count: int, number: int, parts: int) -> slice:
    """Return which of `count` items belong to part `number`, counted from 0: contiguous ranges, in order.

    Sizes of parts differ by at most one; there may be fewer items than parts.
    """
    return slice(count * number // parts, count * (number + 1) // parts)

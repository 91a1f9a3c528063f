"""The processes that work on one job: which one this is, and what they tell each other.

torchrun starts them and says in the environment which is which. The first one, of rank 0, leads: what needs one
process alone, like writing files, it does while the others wait. Sums over all processes come from torch.distributed:
NCCL between GPUs, gloo between CPUs. Short messages go through the store where the processes met.

A job of one process is `ALONE`, for which all of this costs nothing and torch.distributed is not imported.
"""

from __future__ import annotations

import contextlib
import contextvars
import io
import json
import os
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import timedelta
from typing import Any, NamedTuple, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sritool.errors import EndedElsewhereError, SritoolError, UsageError

T = TypeVar("T")
PEER_TIMEOUT = 600.0  # seconds
_FIRST_WORD = 1.0  # seconds in which the first process may say why all end
_PAUSE = 0.02  # seconds between looks of a process that waits for the first
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
    """Return which process of a job this is; None for one that works alone.

    Args:
        environment: The variables that torchrun sets.

    Raises:
        UsageError: It says that there are several processes, and not how they meet.
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
    """Return how often torchrun has started this job again, be it of one process or several; None without torchrun.

    Args:
        environment: The variables that torchrun sets.
    """
    count = environment.get("TORCHELASTIC_RESTART_COUNT", "")
    return int(count) if count.isdecimal() else None


class Processes:
    """A job of one process; `Group` is one of several.

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
        """Put the sum over all processes in the place of a tensor, the same bits everywhere.

        For a figure of each sentence in order, fill in those of one's own `share`, leave 0 elsewhere, and sum.

        Args:
            tensor: Of one shape, type and kind of device in all processes.

        Returns:
            The same tensor.

        Raises:
            PeerLostError: A process has ended or does not answer.
        """
        return tensor

    def broadcast_(self, tensors: Iterable[Tensor]) -> None:
        """Put the first process' numbers in the place of these tensors.

        Args:
            tensors: Of the same shapes and types in all processes.

        Raises:
            PeerLostError: A process has ended or does not answer.
        """

    def broadcast_bytes(self, content: bytes) -> bytes:
        """Return what the first process gives, whatever the others give."""
        return content

    def gather(self, value: Any) -> list[Any]:
        """Return the value that each process gives, in order of rank: JSON values, and short."""
        return [value]

    def gather_arrays(self, arrays: Mapping[str, NDArray[Any]]) -> list[dict[str, NDArray[Any]]]:
        """Return the named arrays that each process gives, in order of rank.

        Args:
            arrays: Of any shapes and types but objects; other processes may give others, or none.

        Raises:
            PeerLostError: A process has ended or does not answer.
        """
        return [dict(arrays)]

    def barrier(self) -> None:
        """Wait until all processes are here."""

    def first(self, work: Callable[[], T], patient: bool = False) -> T:
        """Let the first process do some work alone; the others wait for it, and get what it returns.

        The wait has no end while that process shows with `asked` that it is at work. A signal that comes to a process
        that waits is passed on to it.

        Args:
            work: Returns a JSON value.
            patient: Wait as long as it takes, though it shows nothing.

        Raises:
            EndedElsewhereError: It ended with an error, in the processes that wait; there the error is raised itself.
            PeerLostError: It has ended or does not answer.
        """
        return work()

    def asked(self) -> int | None:
        """Return the signal that asks the job to stop, if one came to this process, or to one that waits for it.

        The first process asks this while it works alone, so that the others know that it is at work.
        """
        return self.signal()

    def claim(self, exit_code: int) -> int | None:
        """Return None where this process is the first of the job to end with an error, which it then says.

        Args:
            exit_code: With which this process would end.

        Returns:
            Else the exit code of the one that was the first.
        """
        return None

    def remember(self, name: str, value: str) -> None:
        """Keep a text for processes that are started after these have ended, by the same torchrun."""

    def remembered(self, name: str) -> str | None:
        """Return what processes that torchrun started before these ones remembered; None: nothing."""
        return None

    def close(self) -> None:
        """Leave the job."""


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


class Group(Processes):
    """A job of several processes, each of which makes this object at the same time."""

    def __init__(
        self,
        store: Any,
        rank: int,
        size: int,
        device: torch.device,
        timeout: float = PEER_TIMEOUT,
        lasting: Any = None,
    ) -> None:
        """Meet the other processes.

        Args:
            store: Of torch.distributed, the same for all.
            rank: Number of this process.
            size: How many there are.
            device: Where this process computes.
            timeout: Seconds after which a process that does not answer counts as lost.
            lasting: A store that is there for later starts of the job too; None: this one.

        Raises:
            PeerLostError: They do not all come.
        """
        import torch.distributed as dist

        super().__init__()
        self.rank, self.size, self._device, self._timeout = rank, size, device, timeout
        self._store, self._lasting, self._dist = store, lasting or store, dist
        self._worked = self._gathered = 0  # times
        if device.type == "cuda":
            torch.cuda.set_device(device)
            # So that an operation that takes too long raises an error in place of ending the process.
            os.environ.setdefault("TORCH_NCCL_BLOCKING_WAIT", "1")
        with self._talking():
            dist.init_process_group(
                "nccl" if device.type == "cuda" else "gloo",
                store=dist.PrefixStore("collectives", store),  # type: ignore[attr-defined]
                rank=rank,
                world_size=size,
                timeout=timedelta(seconds=timeout),
            )
            self.barrier()

    def sum_(self, tensor: Tensor) -> Tensor:
        with self._talking():
            self._dist.all_reduce(tensor)
        return tensor

    def broadcast_(self, tensors: Iterable[Tensor]) -> None:
        with self._talking():
            for tensor in tensors:
                sent = tensor.detach().to(self._device)
                self._dist.broadcast(sent, src=0)
                if not self.is_first and sent.data_ptr() != tensor.data_ptr():
                    tensor.detach().copy_(sent)

    def broadcast_bytes(self, content: bytes) -> bytes:
        length = torch.tensor([len(content)], device=self._device)
        self.broadcast_([length])
        if not int(length):
            return b""
        sent = torch.empty(int(length), dtype=torch.uint8, device=self._device)
        if self.is_first:
            sent.copy_(torch.frombuffer(bytearray(content), dtype=torch.uint8))
        self.broadcast_([sent])
        return sent.cpu().numpy().tobytes()

    def gather(self, value: Any) -> list[Any]:
        self._gathered += 1
        with self._talking():
            self._store.set(f"gather {self._gathered} {self.rank}", json.dumps(value))
            keys = [f"gather {self._gathered} {rank}" for rank in range(self.size)]
            self._store.wait(keys, timedelta(seconds=self._timeout))
            return [json.loads(self._store.get(key)) for key in keys]

    def gather_arrays(self, arrays: Mapping[str, NDArray[Any]]) -> list[dict[str, NDArray[Any]]]:
        written = io.BytesIO()
        np.savez(written, allow_pickle=False, **arrays)
        own = np.frombuffer(written.getvalue(), np.uint8)
        lengths = torch.zeros(self.size, dtype=torch.int64, device=self._device)
        lengths[self.rank] = len(own)
        ends = self.sum_(lengths).cumsum(0).tolist()
        together = torch.zeros(ends[-1], dtype=torch.uint8, device=self._device)
        together[ends[self.rank] - len(own) : ends[self.rank]] = torch.from_numpy(own.copy())
        content = self.sum_(together).cpu().numpy()
        parts = np.split(content, ends[:-1])
        return [dict(np.load(io.BytesIO(part.tobytes()), allow_pickle=False)) for part in parts]

    def barrier(self) -> None:
        self.sum_(torch.zeros(1, device=self._device))

    def first(self, work: Callable[[], T], patient: bool = False) -> T:
        self._worked += 1
        key = f"first {self._worked}"
        if not self.is_first:
            found: T = self._wait_for(key, patient)
            return found
        try:
            done = work()
        except BaseException as error:
            code = getattr(error, "exit_code", 1)
            with contextlib.suppress(PeerLostError), self._talking():
                self._store.set(key, json.dumps({"exit code": code if isinstance(code, int) else 1}))
            raise
        with self._talking():
            self._store.set(key, json.dumps({"done": done}))
        return done

    def _wait_for(self, key: str, patient: bool) -> Any:
        beats, since = -1, time.monotonic()
        with self._talking():
            while not self._store.check([key]):
                if self._store.check(["ended"]):
                    raise EndedElsewhereError(int(self._store.get("ended").split()[1]))
                number = self.signal()
                if number is not None:
                    self._store.set("signal", str(number))
                now, beats_before = self._store.add("beats", 0), beats
                beats = now
                if patient or beats != beats_before:
                    since = time.monotonic()
                elif time.monotonic() - since > self._timeout:
                    raise PeerSilentError(_silent(self._timeout))
                time.sleep(_PAUSE)
            found = json.loads(self._store.get(key))
        if "exit code" in found:
            raise EndedElsewhereError(found["exit code"])
        return found["done"]

    def asked(self) -> int | None:
        number = self.signal()
        if number is not None or not self.is_first:
            return number
        with self._talking():
            self._store.add("beats", 1)
            return int(self._store.get("signal")) if self._store.check(["signal"]) else None

    def claim(self, exit_code: int) -> int | None:
        own = f"{self.rank} {exit_code}"
        try:
            if not self.is_first:  # where all end together, the first is to say it
                with contextlib.suppress(RuntimeError):
                    self._store.wait(["ended"], timedelta(seconds=_FIRST_WORD))
            ended = self._store.compare_set("ended", "", own).decode()
        except RuntimeError:  # the store has ended with its process
            return None
        return None if ended == own else int(ended.split()[1])

    def remember(self, name: str, value: str) -> None:
        with self._talking():
            self._lasting.set(f"remembered {name}", value)

    def remembered(self, name: str) -> str | None:
        with self._talking():
            there = self._lasting.check([f"remembered {name}"])
            return self._lasting.get(f"remembered {name}").decode() if there else None

    def close(self) -> None:
        if self._dist.is_initialized():
            self._dist.destroy_process_group()

    @contextlib.contextmanager
    def _talking(self) -> Iterator[None]:
        """Make of torch's errors one line.

        Raises:
            PeerLostError: Of the error.
        """
        try:
            yield
        except RuntimeError as error:
            late = "time" in str(error).lower() and "out" in str(error).lower()
            if late:
                raise PeerSilentError(_silent(self._timeout)) from error
            raise PeerLostError("another process of this job has ended") from error


def _silent(timeout: float) -> str:
    return (
        f"another process of this job does not answer within {timeout:g} s; look whether it hangs, "
        "or give a longer --peer-timeout"
    )


def join(place: Place | None, device: torch.device, timeout: float = PEER_TIMEOUT) -> Processes:
    """Meet the other processes of the job, as torchrun says where.

    Args:
        place: Which process this is; None: it works alone.
        device: Where it computes.
        timeout: Seconds after which a process that does not answer counts as lost.

    Raises:
        UsageError: The device has no way to sum over processes.
        PeerLostError: They do not all come.
    """
    if place is None:
        return Processes()
    if device.type not in ("cpu", "cuda"):
        raise UsageError(f"several processes can share the work on CPUs or CUDA GPUs, not on {device.type}")
    from torch.distributed import rendezvous  # type: ignore[attr-defined]

    waiting = timedelta(seconds=timeout)
    try:
        store, rank, size = next(rendezvous("env://", place.rank, place.size, timeout=waiting))
        return Group(_met(store, rank, size, timeout), rank, size, device, timeout, store)
    except (RuntimeError, ValueError) as error:
        raise PeerLostError(f"the processes of this job do not find each other: {error}") from error


def _met(store: Any, rank: int, size: int, timeout: float) -> Any:
    """The store with a prefix of its own, once all are there: torchrun keeps a store and what is in it for restarts.

    The first process names the meeting. Any other says hello there under a number of its own, and believes that the
    meeting is not one of before only when the first has answered with that number.

    Raises:
        PeerLostError: They do not all come.
    """
    from torch.distributed import PrefixStore  # type: ignore[attr-defined]

    own, ends, missing = uuid.uuid4().hex, time.monotonic() + timeout, set(range(1, size))
    if rank == 0:
        store.set("meeting", own)
    while time.monotonic() < ends:
        name = store.get("meeting").decode()
        if rank == 0:
            here = {other for other in missing if store.check([f"{name} hello {other}"])}
            for other in here:
                store.set(f"{name} answer {other}", store.get(f"{name} hello {other}"))
            missing -= here
        else:
            store.set(f"{name} hello {rank}", own)
        answered = (
            store.check([f"{name} answer {rank}"]) and store.get(f"{name} answer {rank}").decode() == own
        )
        if answered or (rank == 0 and not missing):
            return PrefixStore(name, store)
        time.sleep(_PAUSE)
    raise PeerSilentError(_silent(timeout))


def part_of(count: int, number: int, parts: int) -> slice:
    """Return which of `count` things belong to a part: neighbours, in order, and parts differ by one at most.

    Args:
        count: Of things; there may be fewer than parts.
        number: Of the part, from 0.
        parts: How many there are.
    """
    return slice(count * number // parts, count * (number + 1) // parts)

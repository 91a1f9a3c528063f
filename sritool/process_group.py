"""Several processes of one job, through torch.distributed: NCCL sums between GPUs, gloo between CPUs.

Short messages go through the store in which the processes met.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from datetime import timedelta
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sritool.errors import EndedElsewhereError, UsageError
from sritool.processes import PEER_TIMEOUT, PeerLostError, PeerSilentError, Place, Processes

T = TypeVar("T")
_FIRST_CLAIM = (
    1.0  # seconds that the other processes give the first one to report the error that ends the job
)
_PAUSE = 0.02  # seconds between polls of a waiting process


class Group(Processes):
    """A job of several processes, each of which creates this object at the same time."""

    def __init__(
        self,
        store: Any,
        rank: int,
        size: int,
        device: torch.device,
        timeout: float = PEER_TIMEOUT,
        lasting: Any = None,
    ) -> None:
        """Meet the other processes, which create this object with the same store of torch.distributed.

        Args:
            store: A store shared by all processes.
            rank: Number of this process.
            size: Number of processes.
            device: Device that this process computes on.
            timeout: Seconds after which a process that does not answer counts as lost.
            lasting: A store that survives restarts of the job; None: use `store`.

        Raises:
            PeerLostError: Not all processes arrive.
        """
        import torch.distributed as dist

        super().__init__()
        self.rank, self.size, self._device, self._timeout = rank, size, device, timeout
        self._store, self._lasting, self._dist = store, lasting or store, dist
        self._first_calls = 0
        if device.type == "cuda":
            torch.cuda.set_device(device)
            # An operation that takes too long then raises an error instead of ending the process.
            os.environ.setdefault("TORCH_NCCL_BLOCKING_WAIT", "1")
        with self._explained_errors():
            dist.init_process_group(
                "nccl" if device.type == "cuda" else "gloo",
                store=dist.PrefixStore("collectives", store),  # type: ignore[attr-defined]
                rank=rank,
                world_size=size,
                timeout=timedelta(seconds=timeout),
            )
            self.barrier()

    def sum_(self, tensor: Tensor) -> Tensor:
        with self._explained_errors():
            self._dist.all_reduce(tensor)
        return tensor

    def broadcast_bytes(self, content: bytes) -> bytes:
        length = torch.tensor([len(content)], device=self._device)
        with self._explained_errors():
            self._dist.broadcast(length, src=0)
            if not int(length):
                return b""
            sent = torch.empty(int(length), dtype=torch.uint8, device=self._device)
            if self.is_first:
                sent.copy_(torch.frombuffer(bytearray(content), dtype=torch.uint8))
            self._dist.broadcast(sent, src=0)
        return sent.cpu().numpy().tobytes()

    def gather(self, value: Any) -> list[Any]:
        gathered = self.gather_arrays({"value": np.array(json.dumps(value))})
        return [json.loads(str(arrays["value"])) for arrays in gathered]

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
        self._first_calls += 1
        key = f"first {self._first_calls}"
        if not self.is_first:
            found: T = self._wait_for(key, patient)
            return found
        try:
            done = work()
        except BaseException as error:
            code = getattr(error, "exit_code", 1)
            self.claim(
                code if isinstance(code, int) else 1
            )  # before anything else: cleaning up may take long
            raise
        with self._explained_errors():
            self._store.set(key, json.dumps(done))
        return done

    def _wait_for(self, key: str, patient: bool) -> Any:
        beats, since = -1, time.monotonic()
        with self._explained_errors():
            while not self._store.check([key]):
                ended = self.ended()
                if ended is not None:
                    raise EndedElsewhereError(ended)
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
            return json.loads(self._store.get(key))

    def asked(self) -> int | None:
        number = self.signal()
        if number is not None or not self.is_first:
            return number
        with self._explained_errors():
            self._store.add("beats", 1)
            return int(self._store.get("signal")) if self._store.check(["signal"]) else None

    def claim(self, exit_code: int) -> int | None:
        own = f"{self.rank} {exit_code}"
        try:
            if not self.is_first:  # if all processes fail together, the first one reports it
                with contextlib.suppress(RuntimeError):
                    self._store.wait(["ended"], timedelta(seconds=_FIRST_CLAIM))
            ended = self._store.compare_set("ended", "", own).decode()
        except RuntimeError:  # the store has ended with its process
            return None
        rank, code = ended.split()
        return None if int(rank) == self.rank else int(code)

    def ended(self) -> int | None:
        try:
            return int(self._store.get("ended").split()[1]) if self._store.check(["ended"]) else None
        except RuntimeError:  # the store has ended with its process
            return None

    def remember(self, name: str, value: str) -> None:
        with self._explained_errors():
            self._lasting.set(f"remembered {name}", value)

    def remembered(self, name: str) -> str | None:
        key = f"remembered {name}"
        with self._explained_errors():
            return self._lasting.get(key).decode() if self._lasting.check([key]) else None

    def abandon(self) -> None:
        if self._device.type == "cpu":  # NCCL would wait for pending operations
            with contextlib.suppress(RuntimeError):
                self.close()

    def close(self) -> None:
        if self._dist.is_initialized():
            self._dist.destroy_process_group()

    @contextlib.contextmanager
    def _explained_errors(self) -> Iterator[None]:
        """Turn torch's errors into a PeerLostError of one line."""
        try:
            yield
        except torch.OutOfMemoryError:
            raise
        except RuntimeError as error:
            if re.search("timed? ?out", str(error), re.IGNORECASE):
                raise PeerSilentError(_silent(self._timeout)) from error
            raise PeerLostError("another process of this job has ended") from error


def _silent(timeout: float) -> str:
    return (
        f"another process of this job does not answer within {timeout:g} s; check whether it hangs, "
        "or give a longer --peer-timeout"
    )


def join(place: Place | None, device: torch.device, timeout: float = PEER_TIMEOUT) -> Processes:
    """Meet the other processes of the job where torchrun says; without a place, this process works alone.

    A process that does not answer for `timeout` seconds counts as lost.

    Raises:
        UsageError: The device cannot sum over processes.
        PeerLostError: Not all processes arrive.
    """
    if place is None:
        return Processes()
    if device.type not in ("cpu", "cuda"):
        raise UsageError(f"several processes can share the work on CPUs or CUDA GPUs, not on {device.type}")
    from torch.distributed import rendezvous  # type: ignore[attr-defined]

    waiting = timedelta(seconds=timeout)
    try:
        store, rank, size = next(rendezvous("env://", place.rank, place.size, timeout=waiting))
        return Group(_meet(store, rank, size, timeout), rank, size, device, timeout, store)
    except (RuntimeError, ValueError) as error:
        raise PeerLostError(f"the processes of this job cannot find each other: {error}") from error


def _meet(store: Any, rank: int, size: int, timeout: float) -> Any:
    """Wait for all processes and return the store under a new prefix: torchrun keeps its contents across restarts.

    The first process names the meeting. Every other process posts a random number of its own there. Only when the
    first one has answered with that number does it know that the meeting is not left from an earlier start.

    Raises:
        PeerLostError: Not all processes arrive.
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
        answer = f"{name} answer {rank}"
        answered = store.check([answer]) and store.get(answer).decode() == own
        if answered or (rank == 0 and not missing):
            return PrefixStore(name, store)
        time.sleep(_PAUSE)
    raise PeerSilentError(_silent(timeout))

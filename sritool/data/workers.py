"""Parallel map over many items with several processes; results come in the order of the items."""

from __future__ import annotations

import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from itertools import chain, islice
from multiprocessing import connection, get_context, parent_process
from typing import Any, TypeVar

from sritool.errors import SritoolError

Item = TypeVar("Item")
Result = TypeVar("Result")

ALONE = 8  # items processed before other processes are started, which takes half a second
_AHEAD = 2  # items in memory per process
_work: Callable[[Any], Any]  # in a worker process


def ordered_map(work: Callable[[Item], Result], items: Iterable[Item], workers: int = 1) -> Iterator[Result]:
    """Yield `work(item)` for each item, in order; the results do not depend on the number of processes.

    With several workers, some items are read ahead, and the function, its arguments and its results are pickled. An
    error raised by `items` comes after the results of all items before it.

    Raises:
        SritoolError: A worker process ended unexpectedly.
    """
    given = iter(items)
    if workers == 1:
        yield from map(work, given)
        return
    yield from map(work, islice(given, ALONE))
    first = next(given, None)
    if first is not None:
        yield from _by_processes(work, chain([first], given), workers)


def _by_processes(work: Callable[[Item], Result], items: Iterator[Item], workers: int) -> Iterator[Result]:
    pool = ProcessPoolExecutor(workers, get_context("spawn"), _set_up, (work,))
    pending: deque[Future[Result]] = deque()
    error: Exception | None = None
    try:
        while error is None:
            try:
                pending.append(pool.submit(_run_work, next(items)))
            except Exception as found:
                error = found
            if len(pending) >= workers * _AHEAD:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
        if not isinstance(error, StopIteration):
            raise error
    except BrokenProcessPool as broken:
        raise SritoolError(
            "a worker process ended unexpectedly, perhaps for lack of memory; give fewer --workers"
        ) from broken
    finally:
        pool.shutdown(wait=error is not None, cancel_futures=True)


def _set_up(work: Callable[[Any], Any]) -> None:
    """Set up a worker process: it leaves Ctrl-C to its parent, and ends when the parent ends."""
    global _work
    _work = work
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = parent_process()
    if parent is not None:
        threading.Thread(target=_end_after, args=(parent.sentinel,), daemon=True).start()


def _end_after(sentinel: Any) -> None:
    connection.wait([sentinel])
    os._exit(1)  # noqa: TID251 - a worker must not outlive the program


def _run_work(item: Any) -> Any:
    return _work(item)

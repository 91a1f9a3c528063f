"""The same work on many items by several processes, whose results come in the order of the items."""

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

ALONE = 8  # items that are worked on before other processes are started, which takes half a second
_AHEAD = 2  # items in work for each process: memory holds so many
_work: Callable[[Any], Any]  # of a worker process


def ordered_map(work: Callable[[Item], Result], items: Iterable[Item], workers: int = 1) -> Iterator[Result]:
    """Yield `work` of each item, in order; the results do not depend on the number of processes.

    With several workers, items are read some ahead, and the function, what it takes and what it gives are pickled. An
    error that the items raise comes after the results of all items before it.

    Raises:
        SritoolError: A process ended in the middle.
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
    pool = ProcessPoolExecutor(workers, get_context("spawn"), _begin, (work,))
    pending: deque[Future[Result]] = deque()
    error: Exception | None = None
    try:
        while error is None:
            try:
                pending.append(pool.submit(_worked, next(items)))
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
            "a worker process ended in the middle: memory may be short; give fewer with --workers"
        ) from broken
    finally:
        pool.shutdown(wait=error is not None, cancel_futures=True)


def _begin(work: Callable[[Any], Any]) -> None:
    """Set a worker process up: it leaves Ctrl-C to its parent, and ends with it however that ends."""
    global _work
    _work = work
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = parent_process()
    if parent is not None:
        threading.Thread(target=_end_with, args=(parent.sentinel,), daemon=True).start()


def _end_with(sentinel: Any) -> None:
    connection.wait([sentinel])
    os._exit(1)  # noqa: TID251 - of a worker, which must not outlive the program


def _worked(item: Any) -> Any:
    return _work(item)

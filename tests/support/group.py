"""A job of a few processes on this machine, with a time limit so that a hang fails the test."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

import torch
from torch.distributed import FileStore

from sritool.process_group import Group

LIMIT = 300.0  # seconds


def _member(
    folder: Path, rank: int, size: int, timeout: float, work: Callable[..., Any], given: Any, results: Any
) -> None:
    torch.set_num_threads(1)
    store = FileStore(str(folder / "store"), size)
    processes = Group(store, rank, size, torch.device("cpu"), timeout)
    try:
        results.send(work(processes, *given))
    finally:
        results.close()
        processes.close()


def in_group(
    folder: Path,
    work: Callable[..., Any],
    *given: Any,
    size: int = 2,
    timeout: float = 60.0,
    never_answer: Collection[int] = (),
) -> list[Any]:
    """Return what a function returns in each of several processes, by rank; None where it returned nothing.

    Args:
        folder: An empty folder, where the processes meet.
        work: A module-level function of the process's `Group` and the `given` arguments.
        given: Arguments for `work`.
        size: Number of processes.
        timeout: Time limit of the group in seconds.
        never_answer: Ranks of the processes that are not waited for.
    """
    context = multiprocessing.get_context("spawn")
    members, ends = [], []
    for rank in range(size):
        here, there = context.Pipe(duplex=False)
        member = context.Process(
            target=_member, args=(folder, rank, size, timeout, work, given, there), daemon=True
        )
        member.start()
        there.close()
        members.append(member)
        ends.append(here)
    try:
        results = []
        for rank, end in enumerate(ends):
            if rank in never_answer:
                results.append(None)
                continue
            if not end.poll(LIMIT):
                raise TimeoutError("a process hangs")
            try:
                results.append(end.recv())
            except EOFError:
                results.append(None)
        return results
    finally:
        for rank, member in enumerate(members):
            member.join(0 if rank in never_answer else 5)
            member.kill()

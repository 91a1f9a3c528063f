"""One state of a run in several processes: the first one makes it, the others take it over."""

from __future__ import annotations

from pathlib import Path

import torch

from sritool.config.settings import RunConfig
from sritool.data.store import Corpus
from sritool.processes import Processes
from sritool.runs.checkpoint import Checkpoint, from_bytes, to_bytes
from sritool.training.state import RunState


def state_of_all(
    corpus: Corpus,
    config: RunConfig,
    folder: Path,
    device: torch.device,
    resume: Checkpoint | None,
    processes: Processes,
) -> RunState:
    """Begin a run, or go on with it, in all processes: the first makes its state, the others take it over.

    Raises:
        DataError: The run to resume is of another corpus, or another process has another corpus of this name.
        CheckpointError: It is damaged.
    """
    if processes.is_first:
        made: list[RunState] = []
        processes.first(
            lambda: made.append(RunState(corpus, config, folder, device, resume, processes)), patient=True
        )
        share(made[0])
        return made[0]
    processes.first(lambda: None, patient=True)
    given = from_bytes(processes.broadcast_bytes(b""))
    return RunState(corpus, given.config, folder, device, given, processes)


def share(state: RunState) -> None:
    """Give the first process' state to all processes, which all call this."""
    processes = state.processes
    if processes.size == 1:
        return
    if processes.is_first:
        processes.broadcast_bytes(to_bytes(state.checkpoint(resumable=True)))
    else:
        state.take_over(from_bytes(processes.broadcast_bytes(b"")))

"""Communication between the processes of a job, with real processes on this machine."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from sritool.errors import EndedElsewhereError, UsageError
from sritool.process_group import join
from sritool.processes import ALONE, PeerLostError, Place, Processes, part_of, place_in_job, restarts
from support.group import in_group

NAMED = {"WORLD_SIZE": "4", "RANK": "3", "MASTER_ADDR": "a", "MASTER_PORT": "1", "LOCAL_RANK": "1"}


@pytest.mark.parametrize("count", [0, 1, 2, 3, 7, 32])
@pytest.mark.parametrize("parts", [1, 2, 3, 8])
def test_parts_cover_everything_once_and_are_nearly_equal(count: int, parts: int) -> None:
    items = list(range(count))
    found = [items[part_of(count, number, parts)] for number in range(parts)]
    assert [item for part in found for item in part] == items
    assert max(map(len, found)) - min(map(len, found)) <= 1


def test_place_from_torchrun_environment() -> None:
    assert place_in_job({}) is None
    assert place_in_job({"WORLD_SIZE": "1"}) is None
    assert place_in_job({**NAMED, "LOCAL_WORLD_SIZE": "2"}) == Place(3, 4, 1, 2)
    assert place_in_job(NAMED) == Place(3, 4, 1, 4)
    assert (restarts({}), restarts({"TORCHELASTIC_RESTART_COUNT": "2"})) == (None, 2)
    with pytest.raises(UsageError, match=r"RANK.*torchrun"):
        place_in_job({"WORLD_SIZE": "2", "MASTER_ADDR": "a", "MASTER_PORT": "1"})
    for name in ("RANK", "LOCAL_RANK", "LOCAL_WORLD_SIZE"):
        with pytest.raises(UsageError, match=rf"{name}=x is no number.*torchrun"):
            place_in_job({**NAMED, name: "x"})


def test_only_cpus_and_cuda_gpus_share_work() -> None:
    with pytest.raises(UsageError, match="mps"):
        join(Place(0, 2, 0, 2), torch.device("mps"))


def test_single_process_needs_no_group(run_program: Callable[..., Any]) -> None:
    tensor = torch.ones(2)
    assert ALONE.sum_(tensor) is tensor
    assert ALONE.gather({"a": 1}) == [{"a": 1}]
    assert ALONE.first(lambda: 3) == 3
    assert ALONE.share(5) == slice(0, 5)
    assert ALONE.is_first
    assert join(None, torch.device("cpu")).size == 1
    program = (
        "import sys, sritool.process_group as p; q = p.join(None, None); q.first(lambda: 0); q.barrier()"
    )
    check = "; raise SystemExit('torch.distributed.distributed_c10d' in set(sys.modules) - before)"
    whole = f"import torch, sys; before = set(sys.modules); {program}{check}"
    done = run_program("-c", whole)
    assert done.returncode == 0, done.stderr


def talk(processes: Processes) -> dict[str, Any]:
    rank = processes.rank
    results: dict[str, Any] = {"sum": processes.sum_(torch.tensor([1.0, rank])).tolist()}
    figures = torch.zeros(5)
    figures[processes.share(5)] = torch.arange(5.0)[processes.share(5)]
    results["in order"] = processes.sum_(figures).tolist()
    results["bytes"] = processes.broadcast_bytes(b"of the first" if rank == 0 else b"")
    results["gathered"] = processes.gather({"rank": rank})
    results["first"] = processes.first(lambda: [rank, None])
    results["before"] = processes.remembered("run")
    processes.barrier()
    if rank == 0:
        processes.remember("run", "runs/a")
    processes.barrier()
    results["after"] = processes.remembered("run")

    def long() -> int:
        number = None
        while number is None:  # longer than the group's time-out, but it shows that it is working
            number = processes.asked()
        return number

    began = time.monotonic()
    processes.signal = lambda: signal.SIGUSR1 if rank == 1 and time.monotonic() - began > 2.5 else None
    results["signal"] = processes.first(long)

    def fail() -> None:
        raise UsageError("no")

    try:
        processes.first(fail)
    except UsageError:
        results["error"] = "itself"
    except EndedElsewhereError as error:
        results["error"] = error.exit_code
    results["claims"] = processes.gather(processes.claim(3 + rank))
    return results


def test_communication_of_two_processes(tmp_path: Path) -> None:
    results = in_group(tmp_path, talk, timeout=2.0)
    assert [result.pop("error") for result in results] == ["itself", 2]
    assert results[0] == results[1]
    assert results[0] == {
        "claims": [None, 2],  # the exit code of the first process to fail
        "sum": [2.0, 1.0],
        "in order": [0.0, 1.0, 2.0, 3.0, 4.0],
        "bytes": b"of the first",
        "gathered": [{"rank": 0}, {"rank": 1}],
        "first": [0, None],
        "before": None,
        "after": "runs/a",
        "signal": signal.SIGUSR1,
    }


def lose(processes: Processes, how: str) -> str:
    if processes.rank == 0:
        if how == "killed":
            os.kill(os.getpid(), signal.SIGKILL)
        if how == "hangs":
            signal.pause()
        processes.first(signal.pause)  # type: ignore[arg-type]
    try:
        if how == "hangs while leading":
            processes.first(lambda: None)
        else:
            processes.sum_(torch.zeros(3))
    except PeerLostError as error:
        return str(error)
    return ""


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ("killed", "has ended"),
        pytest.param("hangs", "does not answer within 1 s", marks=pytest.mark.slow),
        pytest.param("hangs while leading", "does not answer within 1 s", marks=pytest.mark.slow),
    ],
)
def test_lost_process_ends_the_wait(tmp_path: Path, how: str, message: str) -> None:
    _, result = in_group(tmp_path, lose, how, timeout=1.0, never_answer=[0])
    assert message in result
    assert "\n" not in result

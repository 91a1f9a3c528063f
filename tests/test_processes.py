"""What the processes of a job tell each other; they are real ones, on this machine."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
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
def test_parts_are_all_things_once_and_nearly_equal(count: int, parts: int) -> None:
    things = list(range(count))
    found = [things[part_of(count, number, parts)] for number in range(parts)]
    assert [thing for part in found for thing in part] == things
    assert max(map(len, found)) - min(map(len, found)) <= 1


def test_place_of_torchrun_s_environment() -> None:
    assert place_in_job({}) is None
    assert place_in_job({"WORLD_SIZE": "1"}) is None
    assert place_in_job({**NAMED, "LOCAL_WORLD_SIZE": "2"}) == Place(3, 4, 1, 2)
    assert place_in_job(NAMED) == Place(3, 4, 1, 4)
    assert (restarts({}), restarts({"TORCHELASTIC_RESTART_COUNT": "2"})) == (None, 2)
    with pytest.raises(UsageError, match=r"RANK.*torchrun"):
        place_in_job({"WORLD_SIZE": "2", "MASTER_ADDR": "a", "MASTER_PORT": "1"})


def test_only_cpus_and_cuda_gpus_share_work() -> None:
    with pytest.raises(UsageError, match="mps"):
        join(Place(0, 2, 0, 2), torch.device("mps"))


def test_one_process_alone_needs_nothing() -> None:
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
    subprocess.run([sys.executable, "-c", whole], check=True, env={**os.environ}, timeout=60)


def talk(processes: Processes) -> dict[str, Any]:
    rank = processes.rank
    told: dict[str, Any] = {"sum": processes.sum_(torch.tensor([1.0, rank])).tolist()}
    figures = torch.zeros(5)
    figures[processes.share(5)] = torch.arange(5.0)[processes.share(5)]
    told["in order"] = processes.sum_(figures).tolist()
    told["bytes"] = processes.broadcast_bytes(b"of the first" if rank == 0 else b"")
    told["gathered"] = processes.gather({"rank": rank})
    told["first"] = processes.first(lambda: [rank, None])
    told["before"] = processes.remembered("run")
    processes.barrier()
    if rank == 0:
        processes.remember("run", "runs/a")
    processes.barrier()
    told["after"] = processes.remembered("run")

    def long() -> int:
        number = None
        while number is None:  # more than the group's time-out, but it shows that it is at work
            number = processes.asked()
        return number

    began = time.monotonic()
    processes.signal = lambda: signal.SIGUSR1 if rank == 1 and time.monotonic() - began > 2.5 else None
    told["signal"] = processes.first(long)

    def fail() -> None:
        raise UsageError("no")

    try:
        processes.first(fail)
    except UsageError:
        told["error"] = "itself"
    except EndedElsewhereError as error:
        told["error"] = error.exit_code
    told["claims"] = processes.gather(processes.claim(3 + rank))
    return told


def test_what_two_processes_tell_each_other(tmp_path: Path) -> None:
    told = in_group(tmp_path, talk, timeout=2.0)
    assert [part.pop("error") for part in told] == ["itself", 2]
    assert told[0] == told[1]
    assert told[0] == {
        "claims": [None, 2],  # of the first that failed
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
        if how == "it is killed":
            os.kill(os.getpid(), signal.SIGKILL)
        if how == "it hangs":
            signal.pause()
        processes.first(signal.pause)  # type: ignore[arg-type]
    try:
        if how == "it hangs while it leads":
            processes.first(lambda: None)
        else:
            processes.sum_(torch.zeros(3))
    except PeerLostError as error:
        return str(error)
    return ""


@pytest.mark.parametrize(
    ("how", "line"),
    [
        ("it is killed", "has ended"),
        pytest.param("it hangs", "does not answer within 1 s", marks=pytest.mark.slow),
        pytest.param("it hangs while it leads", "does not answer within 1 s", marks=pytest.mark.slow),
    ],
)
def test_a_lost_process_ends_the_wait_with_a_line(tmp_path: Path, how: str, line: str) -> None:
    _, told = in_group(tmp_path, lose, how, timeout=1.0, never_answer=[0])
    assert line in told
    assert "\n" not in told

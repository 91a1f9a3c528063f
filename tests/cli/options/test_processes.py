"""The options --processes, --device and --threads: devices and threads of each process."""

from __future__ import annotations

import pytest
import torch

from sritool.cli.options.processes import ProcessOptions
from sritool.errors import UsageError
from sritool.processes import Place


def test_devices_under_torchrun() -> None:
    two_of_four = Place(rank=3, size=4, local_rank=1, local_size=2)
    assert ProcessOptions(device="cpu").devices(two_of_four) == [torch.device("cpu")] * 2
    assert ProcessOptions(device="cpu", processes=2).devices(two_of_four) == [torch.device("cpu")] * 2
    with pytest.raises(UsageError, match="--processes is 3, but torchrun started 2 on this machine"):
        ProcessOptions(device="cpu", processes=3).devices(two_of_four)


def test_threads_default_to_a_share_of_the_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr("os.cpu_count", lambda: 8)
    assert ProcessOptions(threads=3).enough_threads(512, processes=4) == 3
    assert ProcessOptions().enough_threads(512, processes=4) == 2
    assert ProcessOptions().enough_threads(16, processes=4) == 1
    assert ProcessOptions().enough_threads(512, processes=1) is None
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert ProcessOptions().enough_threads(512, processes=4) is None

"""Devices and threads by option, and the choice of precision for the output layer."""

from __future__ import annotations

import contextlib

import pytest
import torch

from sritool.errors import UsageError
from sritool.model import device as module
from sritool.model.device import (
    devices_of_processes,
    products_in,
    resolve_device,
    resolve_precision,
    set_threads,
    threads_of_process,
)


@pytest.fixture
def gpus(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> int:
    """Make PyTorch report this many GPUs."""
    count: int = request.param
    monkeypatch.setattr(torch.cuda, "is_available", lambda: count > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: count)
    return count


@pytest.mark.parametrize(
    ("gpus", "given", "expected"),
    [
        *((0, (), "cpu"), (2, (), "cuda:0"), (2, ("auto", "1"), "cuda:1")),
        *((2, ("cpu", "0"), "cuda:0"), (2, ("cuda", None), "cuda:0"), (2, ("cuda:1", None), "cuda:1")),
    ],
    indirect=["gpus"],
)
def test_device_options(gpus: int, given: tuple[str | None, ...], expected: str) -> None:
    assert resolve_device(*given) == torch.device(expected)


@pytest.mark.parametrize(
    ("gpus", "device", "gpu", "words"),
    [
        (0, "auto", "0", "--gpu 0: PyTorch sees no GPU here; use --device cpu"),
        (0, "cuda:0", None, "--device cuda:0: PyTorch sees no GPU here"),
        (1, "auto", "1", "this machine has 1 GPU; use --device cpu or --gpu 0 to 0"),
        (2, "cuda:5", None, "this machine has 2 GPUs"),
        (2, "auto", "first", "names no GPU"),
        (2, "auto", "-1", "names no GPU"),
        (0, "tpu", None, "use cpu, cuda, cuda:0 or auto"),
        (0, "cpu:0", None, "use cpu, cuda, cuda:0 or auto"),
        (2, "cuda:x", None, "use cpu, cuda, cuda:0 or auto"),
        (2, "auto", "²", "names no GPU"),
        (0, "mps", None, "Apple's GPUs lack float64, in which all noise is drawn; use --device cpu"),
    ],
    indirect=["gpus"],
)
def test_missing_device_is_refused(gpus: int, device: str, gpu: str | None, words: str) -> None:
    with pytest.raises(UsageError) as caught:
        resolve_device(device, gpu)
    assert words in str(caught.value)
    assert caught.value.exit_code == 2


@pytest.mark.parametrize(
    ("gpus", "device", "gpu", "processes", "expected"),
    [
        (0, "auto", None, None, ["cpu"]),
        (0, "auto", None, 3, ["cpu"] * 3),
        (4, "cpu", None, 2, ["cpu"] * 2),
        (4, "auto", None, None, ["cuda:0"]),
        (4, "auto", None, 2, ["cuda:0", "cuda:1"]),
        (4, "cuda", None, 4, ["cuda:0", "cuda:1", "cuda:2", "cuda:3"]),
        (4, "auto", "2", None, ["cuda:2"]),
        (4, "cpu", "3,1", None, ["cuda:3", "cuda:1"]),
        (4, "auto", "3, 1", 2, ["cuda:3", "cuda:1"]),
        (2, "cuda:1", None, 1, ["cuda:1"]),
    ],
    indirect=["gpus"],
)
def test_each_process_gets_a_device(
    gpus: int, device: str, gpu: str | None, processes: int | None, expected: list[str]
) -> None:
    assert devices_of_processes(device, gpu, processes) == [torch.device(name) for name in expected]


@pytest.mark.parametrize(
    ("gpus", "device", "gpu", "processes", "words"),
    [
        (4, "auto", "0", 2, "--gpu 0 and 2 processes: each needs its own GPU, as --gpu 0,1"),
        (4, "auto", "0,0", None, "each needs its own"),
        (4, "auto", "0,9", None, "this machine has 4 GPUs"),
        (2, "auto", None, 3, "3 processes on --device auto: this machine has 2 GPUs"),
        (2, "cuda:1", None, 2, "one device for 2 processes"),
        (0, "auto", "0,1", None, "PyTorch sees no GPU here"),
        (0, "cpu", None, 99999, "99999 processes: give --processes 1 to"),
    ],
    indirect=["gpus"],
)
def test_too_few_devices_for_the_processes_are_refused(
    gpus: int, device: str, gpu: str | None, processes: int | None, words: str
) -> None:
    with pytest.raises(UsageError) as caught:
        devices_of_processes(device, gpu, processes)
    assert words in str(caught.value)


@pytest.mark.parametrize("gpus", [2], indirect=True)
def test_single_gpu_commands_refuse_several(gpus: int) -> None:
    with pytest.raises(UsageError, match="--gpu 0,1: this command works on one GPU"):
        resolve_device("auto", "0,1")


def test_threads_of_several_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(module.os, "cpu_count", lambda: 8)
    assert [threads_of_process(number) for number in (1, 2, 3, 20)] == [None, 4, 2, 1]
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    assert threads_of_process(2) is None


def test_thread_option() -> None:
    before = torch.get_num_threads()
    try:
        set_threads(1)
        assert torch.get_num_threads() == 1
        set_threads(None)
        assert torch.get_num_threads() == 1
    finally:
        torch.set_num_threads(before)
    for threads in (0, 1025):
        with pytest.raises(UsageError, match=f"--threads {threads}: give 1 to 1024"):
            set_threads(threads)


@pytest.mark.parametrize(
    ("float32", "bfloat16", "expected"),
    [(1.0, 0.5, "bfloat16"), (1.0, 0.9, "float32"), (1.0, 2.0, "float32")],
)
def test_auto_precision_takes_bfloat16_if_clearly_faster(
    float32: float, bfloat16: float, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    shapes = set()

    def timed(left: torch.Tensor, right: torch.Tensor) -> float:
        shapes.add((tuple(left.shape), tuple(right.shape)))
        return {torch.float32: float32, torch.bfloat16: bfloat16}[left.dtype]

    monkeypatch.setattr(module, "_timed_product", timed)
    assert resolve_precision("auto", torch.device("cpu"), 8, 30, 100) == expected
    assert shapes == {((30, 8), (100, 8))}


@pytest.mark.parametrize("asked", ["float32", "bfloat16"])
def test_given_precision_is_not_timed(asked: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_timed_product", lambda *_: pytest.fail("timed"))
    assert resolve_precision(asked, torch.device("cpu"), 8, 30, 100) == asked
    assert resolve_precision(asked, torch.device("cuda"), 8, 30, 100) == asked


def test_tf32_is_for_cuda_only() -> None:
    assert resolve_precision("tf32", torch.device("cuda"), 8, 30, 100) == "tf32"
    assert resolve_precision("tf32", torch.device("cpu"), 8, 30, 100) == "float32"


@pytest.mark.parametrize(
    ("precision", "inside"), [("tf32", "tf32"), ("float32", "ieee"), ("bfloat16", "ieee")]
)
def test_precision_of_products_is_set_and_restored(precision: str, inside: str) -> None:
    settings = torch.backends.cuda.matmul
    before = settings.fp32_precision
    with contextlib.suppress(RuntimeError), products_in(precision):
        assert settings.fp32_precision == inside
        raise RuntimeError("the precision must be restored after an error too")
    assert settings.fp32_precision == before


def test_auto_precision_with_real_timing() -> None:
    assert resolve_precision("auto", torch.device("cpu"), 4, 5, 6) in ("float32", "bfloat16")

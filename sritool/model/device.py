"""Where to compute, with how many threads, and in which precision the output layer's products run."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator

import torch

from sritool.config.settings import Precision
from sritool.errors import UsageError

_SMALL = 128  # hidden units
MOST_THREADS = 1024


def resolve_device(device: str = "auto", gpu: str | None = None) -> torch.device:
    """Return the device asked for: cpu, cuda, cuda:N, mps or auto; a GPU's number wins over that.

    Raises:
        UsageError: There is no such device.
    """
    if gpu is not None:
        numbers = _numbers_of(gpu)
        if len(numbers) > 1:
            raise UsageError(
                f"--gpu {gpu}: this command works on one GPU; write for example --gpu {numbers[0]}"
            )
        return _cuda(numbers[0], f"--gpu {gpu}")
    if device == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda", 0)
        return torch.device("cpu")
    name, _, number = device.partition(":")
    if name == "cpu" and not number:
        return torch.device("cpu")
    if name == "cuda" and (number.isdigit() or not number):
        return _cuda(int(number or 0), f"--device {device}")
    if name == "mps" and not number:
        if not torch.backends.mps.is_available():
            raise UsageError("--device mps: no Apple GPU here; leave the option out or use --device cpu")
        return torch.device("mps")
    raise UsageError(f"--device {device!r} is unknown; use cpu, cuda, cuda:0, mps or auto")


def devices_of_processes(
    device: str = "auto", gpu: str | None = None, processes: int | None = None
) -> list[torch.device]:
    """Return the device of each process of a job on this machine.

    `gpu` has GPUs by their numbers with commas between, one for each process, and wins over `device`, which is as for
    `resolve_device`. Without a number of processes there is one, or one for each GPU of `gpu`.

    Raises:
        UsageError: There are no such devices, or another number of them.
    """
    if gpu is not None:
        numbers = _numbers_of(gpu)
        if processes not in (None, len(numbers)) or len(set(numbers)) < len(numbers):
            wanted = ",".join(map(str, range(processes or len(numbers))))
            raise UsageError(
                f"--gpu {gpu} and {processes or len(numbers)} processes: each needs its own, as --gpu {wanted}"
            )
        return [_cuda(number, f"--gpu {gpu}") for number in numbers]
    first = resolve_device(device)
    if processes in (None, 1):
        return [first]
    assert processes is not None
    if first.type == "cpu":
        cores = os.cpu_count() or 1
        most = max(8, 4 * cores)  # each loads PyTorch: many more than there are cores take the machine down
        if processes > most:
            raise UsageError(
                f"{processes} processes: give --processes 1 to {most} here, as there are {cores} cores"
            )
        return [first] * processes
    if first.type != "cuda" or device.partition(":")[2]:
        raise UsageError(
            f"--device {device} is one device for {processes} processes; name GPUs with --gpu 0,1"
        )
    return [_cuda(number, f"{processes} processes on --device {device}") for number in range(processes)]


def _numbers_of(gpu: str) -> list[int]:
    numbers = gpu.split(",")
    if not all(number.strip().isdigit() for number in numbers):
        raise UsageError(f"--gpu {gpu!r} names no GPU; write for example --gpu 0, or --device cpu")
    return [int(number) for number in numbers]


def _cuda(number: int, asked: str) -> torch.device:
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if number >= count:
        if not count:
            raise UsageError(f"{asked}: PyTorch sees no GPU here; use --device cpu")
        have = f"this machine has {count} GPU{'s' if count > 1 else ''}"
        raise UsageError(f"{asked}: {have}; use --device cpu or --gpu 0 to {count - 1}")
    return torch.device("cuda", number)


def set_threads(threads: int | None) -> None:
    """Bound PyTorch's threads on the CPU; None leaves its own choice."""
    if threads is not None:
        if not 1 <= threads <= MOST_THREADS:  # more than the system grants end the process without a word
            raise UsageError(f"--threads {threads}: give 1 to {MOST_THREADS}, as many as there are cores")
        torch.set_num_threads(threads)


def enough_threads(hidden: int) -> int | None:
    """Threads for a generator of this width where PyTorch's own choice is too many, as its products are small.

    On cores that other processes use too, threads then wait for one another for longer than they compute.
    """
    return 1 if hidden <= _SMALL else None


def threads_of_process(processes: int) -> int | None:
    """Threads for each of several processes on this machine, so that together they have as many as there are cores.

    None for one, and where OMP_NUM_THREADS says how many, as torchrun sets it.
    """
    if processes < 2 or "OMP_NUM_THREADS" in os.environ:
        return None
    return max(1, (os.cpu_count() or 1) // processes)


def resolve_precision(
    precision: Precision, device: torch.device, hidden: int, rows: int, vocabulary: int
) -> Precision:
    """ "float32", "tf32" or "bfloat16" for the products while training: as asked, or on "auto" the fastest.

    A CPU with bfloat16 matrix units gains from it and one without them loses, so each is tried, on a product
    of the shape of the training batch: [rows, hidden] by [hidden, vocabulary]. TF32 is a format of NVIDIA's GPUs:
    elsewhere it means float32.
    """
    if precision != "auto":
        return "float32" if precision == "tf32" and device.type != "cuda" else precision
    if device.type == "mps":
        return "float32"
    candidates: dict[Precision, float] = {"float32": 1.0, "tf32": 0.8, "bfloat16": 0.8}
    if device.type != "cuda":
        del candidates["tf32"]
    # A tie goes to float32: it costs nothing to be exact.
    weighted = {}
    for name, demand in candidates.items():
        dtype = torch.bfloat16 if name == "bfloat16" else torch.float32
        left = torch.ones(rows, hidden, dtype=dtype, device=device)
        right = torch.ones(vocabulary, hidden, dtype=dtype, device=device)
        with products_in(name):
            weighted[name] = min(_timed_product(left, right) for _ in range(4)) / demand
    return min(weighted, key=lambda name: weighted[name])


def multiplies_in_bfloat16(device: torch.device) -> bool:
    """Whether there are units for it, by what the device says of itself: the same in every process on a machine."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if device.type != "cpu" or not hasattr(torch.cpu, "get_capabilities"):
        return False
    found = torch.cpu.get_capabilities()
    return bool(found.get("amx_bf16") or found.get("avx512_bf16"))


def length_multiple(device: torch.device) -> int:
    """What training pads its batches to: a GPU replays a graph for each length, and few are worth some padding."""
    return 4 if device.type == "cuda" else 1


@contextlib.contextmanager
def products_in(precision: str) -> Iterator[None]:
    """Let float32 matrix products on CUDA round their factors to TF32 while inside, if that is the precision."""
    settings = torch.backends.cuda.matmul
    before = settings.fp32_precision
    settings.fp32_precision = "tf32" if precision == "tf32" else "ieee"
    try:
        yield
    finally:
        settings.fp32_precision = before


def _timed_product(left: torch.Tensor, right: torch.Tensor) -> float:
    begin = time.perf_counter()
    product = left @ right.t()
    product.sum().item()  # waits for a GPU
    return time.perf_counter() - begin

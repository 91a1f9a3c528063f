"""The device, the number of CPU threads, and the precision of matrix products."""

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
    """Return the device asked for.

    Args:
        device: cpu, cuda, cuda:N or auto.
        gpu: A GPU's number, which overrides `device`.

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
    if name == "cuda" and (number.isdecimal() or not number):
        return _cuda(int(number or 0), f"--device {device}")
    if name == "mps":
        raise UsageError(
            "--device mps: Apple's GPUs lack float64, in which all noise is drawn; use --device cpu"
        )
    raise UsageError(f"--device {device!r} is unknown; use cpu, cuda, cuda:0 or auto")


def devices_of_processes(
    device: str = "auto", gpu: str | None = None, processes: int | None = None
) -> list[torch.device]:
    """Return the device of each process of a job on this machine.

    Args:
        device: As for `resolve_device`.
        gpu: GPU numbers separated by commas, one per process; overrides `device`.
        processes: Number of processes; None: one, or one per GPU of `gpu`.

    Raises:
        UsageError: The devices do not exist, or are not one per process.
    """
    if gpu is not None:
        numbers = _numbers_of(gpu)
        if processes not in (None, len(numbers)) or len(set(numbers)) < len(numbers):
            wanted = ",".join(map(str, range(processes or len(numbers))))
            raise UsageError(
                f"--gpu {gpu} and {processes or len(numbers)} processes: each needs its own GPU, as --gpu {wanted}"
            )
        return [_cuda(number, f"--gpu {gpu}") for number in numbers]
    first = resolve_device(device)
    if processes in (None, 1):
        return [first]
    assert processes is not None
    if first.type == "cpu":
        cores = os.cpu_count() or 1
        most = max(8, 4 * cores)  # each loads PyTorch: many more than cores would bring the machine down
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
    if not all(number.strip().isdecimal() for number in numbers):
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
    """Set the number of PyTorch's CPU threads; None keeps PyTorch's own choice. Raises: UsageError."""
    if threads is not None:
        if not 1 <= threads <= MOST_THREADS:  # more than the system grants end the process silently
            raise UsageError(f"--threads {threads}: give 1 to {MOST_THREADS}, usually the number of cores")
        torch.set_num_threads(threads)


def enough_threads(hidden: int) -> int | None:
    """Return 1 for a narrow generator, None (PyTorch's own choice) for others.

    The products of a narrow one are small: on cores that other processes use too, its threads would wait for one
    another longer than they compute.
    """
    return 1 if hidden <= _SMALL else None


def threads_of_process(processes: int) -> int | None:
    """Return the threads of each of several processes on this machine, so that together they use all cores.

    None for one process, or where OMP_NUM_THREADS is set, as torchrun does.
    """
    if processes < 2 or "OMP_NUM_THREADS" in os.environ:
        return None
    return max(1, (os.cpu_count() or 1) // processes)


def resolve_precision(
    precision: Precision, device: torch.device, hidden: int, rows: int, vocabulary: int
) -> Precision:
    """Return the precision of matrix products in training: the one asked for, or on "auto" the fastest.

    bfloat16 is faster on a CPU with units for it and slower on one without, so each precision is timed on a product
    of the training batch's shape: [rows, hidden] by [hidden, vocabulary]. TF32 is a format of NVIDIA's GPUs;
    elsewhere it means float32.
    """
    if precision != "auto":
        return "float32" if precision == "tf32" and device.type != "cuda" else precision
    candidates: dict[Precision, float] = {"float32": 1.0, "tf32": 0.8, "bfloat16": 0.8}
    if device.type != "cuda":
        del candidates["tf32"]
    # The others must take less than 0.8 of float32's time; a tie goes to float32, which is exact.
    weighted = {}
    for name, demand in candidates.items():
        dtype = torch.bfloat16 if name == "bfloat16" else torch.float32
        left = torch.ones(rows, hidden, dtype=dtype, device=device)
        right = torch.ones(vocabulary, hidden, dtype=dtype, device=device)
        with products_in(name):
            weighted[name] = min(_timed_product(left, right) for _ in range(4)) / demand
    return min(weighted, key=lambda name: weighted[name])


def multiplies_in_bfloat16(device: torch.device) -> bool:
    """Whether the device reports bfloat16 matrix units; the same in every process on a machine."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if device.type != "cpu" or not hasattr(torch.cpu, "get_capabilities"):
        return False
    found = torch.cpu.get_capabilities()
    return bool(found.get("amx_bf16") or found.get("avx512_bf16"))


def length_multiple(device: torch.device) -> int:
    """Training pads batches to multiples of this: a GPU has a graph per length, and few are worth some padding."""
    return 4 if device.type == "cuda" else 1


@contextlib.contextmanager
def products_in(precision: str) -> Iterator[None]:
    """Context in which float32 matrix products on CUDA round their factors to TF32, if that is the precision."""
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

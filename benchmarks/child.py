"""One variant alone in a process of its own: its peak of memory.

Usage (by the benchmarks themselves): python -m benchmarks.child '{"benchmark": "chain", "variant": …}'

Memory is the peak of the resident set (VmHWM, reset by /proc/self/clear_refs before the step where Linux allows
it, else ru_maxrss of the whole process) less what was resident with model and batch in place. So it counts what
PyTorch, oneDNN and the allocator take alike, which no profiler of tensors does.
"""

from __future__ import annotations

import importlib
import json
import os
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

import torch

from benchmarks.shapes import Shape
from sritool.cli.streams import say


def ask(
    benchmark: str, variant: str, shape: Shape, precision: str, threads: int, steps: int | None
) -> dict[str, Any] | None:
    """Run one variant in a child process; None, and a line on stderr, if that fails: the times stand without it.

    Args:    benchmark: module of this package with a `build(variant, shape, precision, device, steps)`.
    Returns: "peak MiB" of one run above the "resident MiB" before it.
    """
    request = {
        "benchmark": benchmark,
        "variant": variant,
        "shape": vars(shape),
        "precision": precision,
        "threads": threads,
        "steps": steps,
    }
    root = str(Path(__file__).parents[1])
    paths = os.pathsep.join(filter(None, (root, os.environ.get("PYTHONPATH"))))
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.child", json.dumps(request)],
        env=os.environ | {"PYTHONPATH": paths},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        say(f"{benchmark} {variant} failed in a process of its own: {last}")
        return None
    return dict(json.loads(done.stdout))


def _status(field: str) -> float | None:
    path = Path("/proc/self/status")
    if not path.is_file():
        return None
    for line in path.read_text(encoding="ascii").splitlines():
        if line.startswith(field + ":"):
            return float(line.split()[1]) / 1024
    return None


def _reset_peak() -> float:
    """Resident MiB now, from which the peak counts."""
    try:
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    except OSError:
        return _peak()
    return _status("VmRSS") or _peak()


def _peak() -> float:
    kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1024 if sys.platform == "darwin" else 1)
    return _status("VmHWM") or kib / 1024


def answer(request: dict[str, Any]) -> dict[str, Any]:
    """What `ask` returns, measured in this very process."""
    torch.set_num_threads(request["threads"])
    module = importlib.import_module(f"benchmarks.{request['benchmark']}")
    shape = Shape(**request["shape"])
    run = module.build(request["variant"], shape, request["precision"], torch.device("cpu"), request["steps"])
    before = _reset_peak()
    run()
    return {"resident MiB": before, "peak MiB": _peak() - before}


if __name__ == "__main__":
    print(json.dumps(answer(json.loads(sys.argv[1]))))

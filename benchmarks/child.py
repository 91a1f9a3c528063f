"""Peak memory of one variant, measured in a process of its own.

Usage (by the benchmarks themselves): python -m benchmarks.child '["chain", ["ours", "lm"], …]'

Memory is the peak of the resident set (VmHWM, reset by /proc/self/clear_refs before the step where Linux allows it,
else ru_maxrss of the whole process) minus what was resident with model and batch in place. So it counts what
PyTorch, oneDNN and the allocator take, which a profiler of tensors does not.
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
    benchmark: str, variant: tuple[str, str], shape: Shape, precision: str, steps: int | None
) -> dict[str, Any] | None:
    """Run one variant in a child process.

    Args:
        benchmark: Module of this package with a `build(variant, shape, precision, device, steps)`.
        variant: Whose step, and of what kind.
        shape: Sizes of the model and the batch.
        precision: "float32" or "bfloat16".
        steps: Langevin steps of a chain; None for the sampler's own number.

    Returns:
        "peak MiB" of one run above the "resident MiB" before it. None if the process fails; a line on stderr says so.
    """
    words = (benchmark, variant, vars(shape), precision, torch.get_num_threads(), steps)
    root = str(Path(__file__).parents[1])
    paths = os.pathsep.join(filter(None, (root, os.environ.get("PYTHONPATH"))))
    command, environment = [sys.executable, "-m", "benchmarks.child"], os.environ | {"PYTHONPATH": paths}
    done = subprocess.run([*command, json.dumps(words)], env=environment, capture_output=True, text=True)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        say(f"{benchmark} {', '.join(variant)} failed in a process of its own: {last}")
        return None
    return dict(json.loads(done.stdout))


def answer(
    benchmark: str, variant: list[str], sizes: dict[str, Any], precision: str, threads: int, steps: int | None
) -> dict[str, float]:
    """Measure in this process what `ask` returns."""
    torch.set_num_threads(threads)
    module, device = importlib.import_module(f"benchmarks.{benchmark}"), torch.device("cpu")
    run = module.build(tuple(variant), Shape(**sizes), precision, device, steps)
    before = _reset_peak()
    run()
    return {"resident MiB": before, "peak MiB": _peak() - before}


def memory_of_process(field: str) -> float:
    """Return a field of /proc/self/status in MiB; 0 if there is none."""
    path = Path("/proc/self/status")
    lines = path.read_text(encoding="ascii").splitlines() if path.is_file() else []
    return sum(float(line.split()[1]) for line in lines if line.startswith(field + ":")) / 1024


def _reset_peak() -> float:
    """Reset the peak and return the resident MiB, from which it counts."""
    try:
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    except OSError:
        return _peak()
    return memory_of_process("VmRSS") or _peak()


def _peak() -> float:
    kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1024 if sys.platform == "darwin" else 1)
    return memory_of_process("VmHWM") or kib / 1024


if __name__ == "__main__":
    print(json.dumps(answer(*json.loads(sys.argv[1]))))

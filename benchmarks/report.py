"""What a benchmark hands back, and how it is printed: tables, or one JSON document with the machine in it."""

from __future__ import annotations

import datetime
import json
import os
import platform
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from sritool.cli.formats import Table, native
from sritool.cli.render import emit_all
from sritool.cli.streams import say

FORMATS = ("auto", "table", "tsv", "markdown", "json")
FLAGS = (
    "avx2",
    "avx512f",
    "avx512_vnni",
    "avx512_bf16",
    "avx512_fp16",
    "amx_tile",
    "amx_bf16",
    "asimd",
    "bf16",
)


@dataclass
class Report:
    """Figures for programs in `results`, for people in `tables`."""

    benchmark: str
    settings: dict[str, Any]
    results: dict[str, Any] = field(default_factory=dict)
    tables: list[Table] = field(default_factory=list)
    failed: bool = False  # a bound was broken


def machine(device: torch.device) -> dict[str, Any]:
    """The hardware and software that the figures are of."""
    found: dict[str, Any] = {
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "cpu": _cpu_model(),
        "cores": os.cpu_count(),
        "cores allowed": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None,
        "threads": torch.get_num_threads(),
        "capability": torch.backends.cpu.get_cpu_capability(),
        "instructions": _instructions(),
        "onednn": torch.backends.mkldnn.is_available(),
        "mkl": torch.backends.mkl.is_available(),
        "load average": list(os.getloadavg()) if hasattr(os, "getloadavg") else None,
        "torch": torch.__version__,
        "python": platform.python_version(),
        "system": platform.system(),
        "device": str(device),
    }
    if device.type == "cuda":
        found["gpu"] = torch.cuda.get_device_name(device)
        found["cuda"] = torch.version.cuda
    return found


def _cpuinfo() -> str:
    path = Path("/proc/cpuinfo")
    return path.read_text(encoding="utf-8") if path.is_file() else ""


def _cpu_model() -> str:
    for line in _cpuinfo().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _instructions() -> list[str]:
    for line in _cpuinfo().splitlines():
        if line.startswith(("flags", "Features")):
            there = set(line.partition(":")[2].split())
            return [flag for flag in FLAGS if flag in there]
    return []


def _headline(described: Mapping[str, Any]) -> str:
    where = described.get("gpu") or described["cpu"]
    return (
        f"{where}, {described['cores allowed'] or described['cores']} cores, {described['threads']} threads, "
        f"{described['capability']}, PyTorch {described['torch']}, {described['date']}"
    )


def show(report: Report, fmt: str, described: Mapping[str, Any]) -> None:
    """Print a report on stdout: tables, or a JSON document with the machine as `machine` found it before."""
    if fmt == "json":
        document = {"benchmark": report.benchmark, "machine": described, "settings": report.settings}
        whole = native({**document, "results": report.results, "failed": report.failed})
        sys.stdout.write(json.dumps(whole, ensure_ascii=False, indent=2, allow_nan=False) + "\n")
        return
    say(_headline(described))
    emit_all(report.tables, fmt)

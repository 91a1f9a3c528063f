"""The report of a benchmark, printed as tables or as one JSON document that includes the machine."""

from __future__ import annotations

import datetime
import json
import os
import platform
import re
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
INSTRUCTIONS = re.compile(r"\b(avx2|avx512(?:f|_vnni|_bf16|_fp16)|amx_(?:tile|bf16)|asimd|bf16)\b")


@dataclass
class Report:
    """Figures of a benchmark: `results` for programs, `tables` for people."""

    benchmark: str
    settings: dict[str, Any]
    results: dict[str, Any] = field(default_factory=dict)
    tables: list[Table] = field(default_factory=list)
    failed: bool = False  # a bound was broken


def machine(device: torch.device) -> dict[str, Any]:
    """Describe the hardware and software on which the figures are measured."""
    processor = _cpuinfo()
    flags = processor.get("flags", processor.get("Features", ""))
    found: dict[str, Any] = {
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "cpu": processor.get("model name") or platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "cores allowed": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None,
        "threads": torch.get_num_threads(),
        "capability": torch.backends.cpu.get_cpu_capability(),
        "instructions": INSTRUCTIONS.findall(flags),
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


def _cpuinfo() -> dict[str, str]:
    """Return what Linux reports about the last core."""
    path = Path("/proc/cpuinfo")
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    pairs = (line.partition(":")[::2] for line in lines)
    return {name.strip(): value.strip() for name, value in pairs}


def _headline(described: Mapping[str, Any]) -> str:
    where = described.get("gpu") or described["cpu"]
    return (
        f"{where}, {described['cores allowed'] or described['cores']} cores, {described['threads']} threads, "
        f"{described['capability']}, PyTorch {described['torch']}, {described['date']}"
    )


def show(report: Report, fmt: str, described: Mapping[str, Any]) -> None:
    """Print a report on stdout: tables, or a JSON document with `described`, the result of `machine`."""
    if fmt == "json":
        document = {"benchmark": report.benchmark, "machine": described, "settings": report.settings}
        whole = native({**document, "results": report.results, "failed": report.failed})
        sys.stdout.write(json.dumps(whole, ensure_ascii=False, indent=2, allow_nan=False) + "\n")
        return
    say(_headline(described))
    emit_all(report.tables, fmt)

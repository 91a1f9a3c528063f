"""Keeps the output of commands on a run, and the machines that trained it, in `reproduction.jsonl`.

The file is beside the checkpoint. Figures of `evaluate` are in evaluations.jsonl; those of other commands are kept
here as they were printed, under a key made from the checkpoint's content and the command.
"""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sritool._version import __version__
from sritool.evaluation.record import VERSION, Record, fingerprint
from sritool.runs.bundled import records_folder

NAME = "reproduction.jsonl"


class Outputs(Record):
    """The outputs kept beside one checkpoint."""

    def __init__(self, checkpoint: Path) -> None:
        super().__init__(records_folder(checkpoint) / NAME)

    def rows(self, content: str, words: Sequence[str]) -> list[dict[str, Any]] | None:
        """Return the rows that a command printed for the checkpoint with this hash; None if they are not kept."""
        key = _key(content, words)
        found = [entry["rows"] for entry in self.read(dict) if entry.get("key") == key]
        return list(found[-1]) if found else None

    def add(
        self, content: str, words: Sequence[str], rows: Sequence[Mapping[str, Any]], seconds: float
    ) -> None:
        """Keep the rows that a command printed, and how long it took."""
        self._note({"key": _key(content, words), "command": list(words), "rows": list(rows)}, seconds)

    def trained(self, words: Sequence[str], seconds: float, machine: Mapping[str, str]) -> None:
        """Record that this machine trained the run for so many seconds."""
        self._note({"command": list(words), "machine": dict(machine)}, seconds)

    def machines(self) -> list[dict[str, str]]:
        """Return the machines that are recorded as having trained the run."""
        found: list[dict[str, str]] = []
        for entry in self.read(lambda entry: entry.get("machine")):
            if isinstance(entry, dict) and entry not in found:
                found.append(entry)
        return found

    def _note(self, about: Mapping[str, Any], seconds: float) -> None:
        when = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        self.append({"when": when, "sritool": __version__, "seconds": round(seconds, 1), **about}, sync=True)


def _key(content: str, words: Sequence[str]) -> str:
    return fingerprint(VERSION, __version__, content, *words)


def this_machine(device: str) -> dict[str, str]:
    """Return what run times depend on: processor, cores, system, the GPU if the device is one, and versions."""
    import torch

    found = {"processor": _processor(), "cores": str(os.cpu_count() or 1), "system": platform.system()}
    if device.startswith("cuda"):
        found["gpu"] = torch.cuda.get_device_name(device)
    return found | {"python": platform.python_version(), "torch": str(torch.__version__)}


def _processor() -> str:
    """Return the processor's model; the architecture if the system does not tell the model."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.processor() or platform.machine()

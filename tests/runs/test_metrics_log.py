"""The metrics log: finished work stays, unfinished work is cut off on resume."""

from __future__ import annotations

import json
from pathlib import Path

from sritool.runs.metrics_log import MetricsLog, read_metrics


def test_log_keeps_only_finished_work(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    log = MetricsLog(path)
    records = [{"kind": "step", "step": step, "epoch": 1 + (step > 2)} for step in (1, 2, 3, 4)]
    for record in [*records[:2], {"kind": "epoch", "step": 2, "epoch": 1}, *records[2:]]:
        log.add(record)
    log.add({"kind": "epoch", "step": 4, "epoch": 2})
    with path.open("a", encoding="utf-8") as file:
        file.write('{"kind": "step", "st')  # a kill in the middle of a line
    assert len(read_metrics(path)) == 6
    assert [r["step"] for r in read_metrics(path)] == [1, 2, 2, 3, 4, 4]
    MetricsLog(path, steps=4, epochs=1).add({"kind": "epoch", "step": 4, "epoch": 2, "again": True})
    kept = read_metrics(path)
    assert [(r["kind"], r["step"]) for r in kept] == [
        *(("step", 1), ("step", 2), ("epoch", 2), ("step", 3), ("step", 4), ("epoch", 4))
    ]
    assert kept[-1]["again"]
    assert all(json.loads(line) for line in path.read_text(encoding="utf-8").splitlines())
    assert [entry.name for entry in tmp_path.iterdir()] == ["metrics.jsonl"]
    MetricsLog(path)
    assert read_metrics(path) == []


def test_missing_log_has_no_records(tmp_path: Path) -> None:
    assert read_metrics(tmp_path / "none.jsonl") == []

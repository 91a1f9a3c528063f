"""`sritool info`: what a checkpoint says of itself."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from typer.testing import Result

from sritool.runs.checkpoint import load_checkpoint

Run = Callable[..., Result]


def fields(run: Run, *args: object) -> dict[str, object]:
    result = run("info", *args, "-f", "json")
    assert result.exit_code == 0, result.stderr
    rows = [json.loads(line) for line in result.stdout.splitlines()]
    assert len({row["field"] for row in rows}) == len(rows)
    return {row["field"]: row["value"] for row in rows}


def test_what_is_in_a_checkpoint(run: Run) -> None:
    shown = fields(run, "runs/mine-sri")
    stored = load_checkpoint(Path("runs/mine-sri/best.pt"))
    assert shown["file"] == "runs/mine-sri/best.pt"
    assert shown["megabytes"] == Path("runs/mine-sri/best.pt").stat().st_size / 1e6
    assert (shown["method"], shown["corpus"], shown["tokenizer"]) == ("sri", "mine", "word")
    assert shown["parameters"] == sum(weights.numel() for weights in stored.weights.values())
    assert shown["vocabulary"] == len(stored.tokenizer)
    assert shown["steps done"] == stored.progress["step"] > 0
    assert shown["best validation nll"] == min(record["nll"] for record in stored.metrics)
    assert shown["generator.latent"] == 4
    assert shown["sampler.name"] == "custom (tempered)"
    assert shown["sampler.temperature.end"] == 0.5
    assert shown["optimizer.learning_rate"] == stored.config.optimizer.learning_rate


def test_a_run_can_be_resumed_while_it_has_its_last(run: Run, tmp_path: Path) -> None:
    assert fields(run, "runs/mine-sri")["can be resumed"] is True
    assert fields(run, "runs/mine-sri/last.pt")["can be resumed"] is True
    alone = tmp_path / "model.pt"
    alone.write_bytes(Path("runs/mine-sri/best.pt").read_bytes())
    assert fields(run, alone)["can be resumed"] is False


def test_a_language_model_has_no_chain_to_show(run: Run) -> None:
    shown = fields(run, "mine-lm")  # the name of a run in runs/ will do
    assert shown["method"] == "lm"
    assert shown["generator.latent"] == 0
    assert not [name for name in shown if name.startswith("sampler.")]
    assert shown["optimizer.decay.begin"] == 0.5


def test_newest_run_is_named_on_stderr(run: Run) -> None:
    result = run("info")
    assert result.exit_code == 0
    assert result.stdout.startswith("field\tvalue\nfile\truns/mine-sri/best.pt\n")
    assert result.stderr == "newest run: runs/mine-sri/best.pt\n"
    assert "runs/mine-lm/best.pt" in run("info", "runs/mine-lm").stdout

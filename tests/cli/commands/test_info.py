"""`sritool info`: the fields of a checkpoint, against the checkpoint itself; the default checkpoint."""

from __future__ import annotations

from pathlib import Path

import pytest

from sritool.runs.checkpoint import load_checkpoint
from support.tables import Run, json_rows


def fields(run: Run, *args: object) -> dict[str, object]:
    found = json_rows(run("info", *args, "-f", "json"))
    assert len({row["field"] for row in found}) == len(found)
    return {row["field"]: row["value"] for row in found}


def test_fields_of_a_checkpoint(run: Run) -> None:
    shown = fields(run, "runs/mine-sri")
    stored = load_checkpoint(Path("runs/mine-sri/best.pt"))
    assert shown["file"] == "runs/mine-sri/best.pt"
    assert shown["megabytes"] == Path("runs/mine-sri/best.pt").stat().st_size / 1e6
    assert (shown["method"], shown["corpus"], shown["tokenizer"]) == ("sri", "mine", "word")
    assert shown["parameters"] == sum(weights.numel() for weights in stored.weights.values())
    assert shown["vocabulary"] == len(stored.tokenizer)
    assert shown["steps done"] == stored.progress.step > 0
    assert shown["best validation nll"] == min(record["nll"] for record in stored.metrics)
    assert shown["generator.latent"] == 4
    assert shown["sampler.name"] == "custom (tempered)"
    assert shown["sampler.temperature.end"] == 0.5
    assert shown["optimizer.learning_rate"] == stored.config.optimizer.learning_rate


def test_only_a_run_with_last_pt_can_be_resumed(run: Run, tmp_path: Path) -> None:
    assert fields(run, "runs/mine-sri")["can be resumed"] is True
    assert fields(run, "runs/mine-sri/last.pt")["can be resumed"] is True
    alone = tmp_path / "model.pt"
    alone.write_bytes(Path("runs/mine-sri/best.pt").read_bytes())
    assert fields(run, alone)["can be resumed"] is False


def test_language_model_shows_no_sampler(run: Run) -> None:
    shown = fields(run, "mine-lm")  # a run in runs/ by its name
    assert shown["method"] == "lm"
    assert shown["generator.latent"] == 0
    assert not [name for name in shown if name.startswith("sampler.")]
    assert shown["optimizer.decay.begin"] == 0.5


@pytest.mark.parametrize(
    "command",
    [
        "info",
        "score --text mine.txt --samples 2",
        "sample -n 2",
        "evaluate --metrics recon --limit 2",
        "encode --text mine.txt",
    ],
)
def test_newest_run_is_the_default_checkpoint(
    run: Run, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    result = run(*command.split())
    assert result.exit_code == 0
    assert result.stderr.splitlines()[0].endswith(" runs/mine-sri/best.pt")
    if command.startswith("encode"):  # mine-lm has no z
        return
    monkeypatch.setenv("SRITOOL_CHECKPOINT", "runs/mine-lm")
    other = run(*command.split())
    assert "runs/mine-sri" not in other.stdout + other.stderr
    assert other.stdout == run(*command.split(), "mine-lm").stdout != result.stdout

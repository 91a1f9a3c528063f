"""`sritool info`: what a checkpoint says of itself."""

from __future__ import annotations

from pathlib import Path

import pytest

from sritool.runs.checkpoint import load_checkpoint
from support.tables import Run, json_rows


def fields(run: Run, *args: object) -> dict[str, object]:
    found = json_rows(run("info", *args, "-f", "json"))
    assert len({row["field"] for row in found}) == len(found)
    return {row["field"]: row["value"] for row in found}


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
def test_the_newest_run_is_taken_and_named_unless_a_variable_names_another(
    run: Run, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    result = run(*command.split())
    assert result.exit_code == 0
    assert result.stderr.splitlines()[0].endswith(" runs/mine-sri/best.pt")
    if command.startswith("encode"):
        return
    monkeypatch.setenv("SRITOOL_CHECKPOINT", "runs/mine-lm")
    other = run(*command.split())
    assert "runs/mine-sri" not in other.stdout + other.stderr
    assert other.stdout == run(*command.split(), "mine-lm").stdout != result.stdout

"""`sritool tune-step`: its table, shapes and options, and the checkpoint it writes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import Result

from sritool.cli.options.files import NewCheckpointOptions
from sritool.errors import UsageError
from sritool.runs.checkpoint import load_checkpoint
from support.tables import Run, options, rows

FEW = ["--limit", 3, "--chains", 8, "--grid", "0.02,0.2", "-q"]


def chosen(result: Result) -> str:
    (step,) = (row["step"] for row in rows(result) if row["chosen"] == "true")
    return step


def test_piped_table_has_every_figure(run: Run) -> None:
    result = run("tune-step", *FEW)
    found = rows(result)
    assert [row["step"] for row in found] == ["0.02", "0.2", "checkpoint"]
    assert [(row["s_0"], row["s_K"]) for row in found] == [("0.02", "0.02"), ("0.2", "0.2"), ("0.32", "0.18")]
    assert [row["now"] for row in found] == ["false", "false", "true"]
    assert [row["chosen"] for row in found].count("true") == 1
    for row in found:
        assert all(row[name] for name in row)
        assert float(row["lower"]) == pytest.approx(-float(row["recon"]) - float(row["kl"]), abs=1e-3)
    assert result.stderr.splitlines()[0] == "tuning runs/mine-sri/best.pt"
    parsed = [json.loads(line) for line in run("tune-step", *FEW, "-f", "json").stdout.splitlines()]
    assert [row["upper"] for row in parsed] == pytest.approx([float(row["upper"]) for row in found], rel=1e-6)
    assert [row["chosen"] for row in parsed] == [row["chosen"] == "true" for row in found]


def test_shapes(run: Run) -> None:
    few = ["--limit", 2, "--chains", 6, "-q"]
    factors = rows(run("tune-step", *few, "--shape", "checkpoint", "--grid", "0.5,1"))
    assert [row["step"] for row in factors] == ["× 0.5", "× 1"]
    assert [float(row["s_0"]) for row in factors] == [0.16, 0.32]
    assert [row["now"] for row in factors] == ["false", "true"]
    pairs = rows(run("tune-step", *few, "--shape", "geometric", "--range", "0.01:0.04:2"))
    assert [row["step"] for row in pairs] == ["0.01 to 0.01", "0.04 to 0.01", "0.04 to 0.04", "checkpoint"]
    longer = rows(run("tune-step", *few, "--grid", "0.1", "--langevin-steps", 5))
    assert float(longer[1]["s_K"]) == pytest.approx(0.02)
    assert len(rows(run("tune-step", *few))) == 6


@pytest.mark.slow
def test_measurement_options_change_the_figures(run: Run) -> None:
    def upper(*args: object) -> str:
        usual = {"--limit": 3, "--chains": 8, "--grid": "0.02,0.2"}
        return rows(run("tune-step", "-q", *options(usual, *args)))[0]["upper"]

    usual = upper()
    assert upper() == usual
    for changed in (
        ["--seed", 1],
        ["--limit", 4],
        ["--chains", 9],
        ["--temperature", 1],
        ["--split", "test"],
        ["--text", "mine.txt"],
        ["--langevin-steps", 2],
    ):
        assert upper(*changed) != usual, changed
    assert "by gradient" in rows(run("tune-step", *FEW, "--gradient-steps", 1))[-1]["step"]


def test_given_noise_prefers_the_smaller_step(run: Run) -> None:
    """Given the noise, the smaller of two steps is better, however useful z is."""
    wide = ["--limit", 3, "--grid", "0.0001,0.4", "-q", "--objective", "given-noise"]
    assert chosen(run("tune-step", *wide, "--chains", 30)) == "0.0001"
    few = run("tune-step", *wide, "--chains", 3)
    assert chosen(few) == "0.0001"
    assert rows(few)[0]["upper"] == "nan"


def test_written_checkpoint_has_the_chosen_steps(run: Run) -> None:
    source = Path("runs/mine-sri/best.pt")
    before = source.read_bytes()
    result = run("tune-step", *FEW, "--write", "new.pt", "--temperature", 1)
    wrote, kept = result.stderr.splitlines()[-2:]
    assert wrote == f"wrote new.pt with the step sizes of {chosen(result)}"
    assert "τ 0.5 as before" in kept
    assert source.read_bytes() == before
    sampler = load_checkpoint(Path("new.pt")).config.sampler
    assert sampler.schedule() == [float(chosen(result))] * 3
    recon = [
        rows(run("evaluate", path, "--metrics", "recon", "--samples", 4, "--pilots", 8, "-q"))[0]["value"]
        for path in ("new.pt", source)
    ]
    assert recon[0] != recon[1]
    again = rows(run("tune-step", "new.pt", "--limit", 2, "--chains", 6, "--grid", chosen(result), "-q"))
    assert [row["now"] for row in again] == ["true"]


def test_tuning_while_training(train_small: Run) -> None:
    assert train_small("--tune-step-every", 1, "--name", "tuned", "-q").exit_code == 0
    records = [json.loads(line) for line in Path("runs/tuned/metrics.jsonl").read_text().splitlines()]
    (tuning,) = (record for record in records if record["kind"] == "tune")
    assert load_checkpoint(Path("runs/tuned/last.pt")).config.sampler.schedule() == tuning["step_sizes"]


def test_source_and_existing_files_are_not_overwritten(tmp_path: Path) -> None:
    source, other = tmp_path / "best.pt", tmp_path / "other.pt"
    source.touch()
    other.touch()
    alias = tmp_path / "alias.pt"
    alias.symlink_to(source)
    for path in (source, alias, tmp_path / "sub" / ".." / "best.pt"):
        with pytest.raises(UsageError, match="is the checkpoint itself"):
            NewCheckpointOptions(path, True).check(source)
    with pytest.raises(UsageError, match="exists; give another file, or --force"):
        NewCheckpointOptions(other, False).check(source)
    NewCheckpointOptions(other, True).check(source)
    NewCheckpointOptions(tmp_path / "new.pt", False).check(source)
    with pytest.raises(UsageError, match="is a folder"):
        NewCheckpointOptions(tmp_path, True).check(source)
    with pytest.raises(UsageError, match="there is no folder"):
        NewCheckpointOptions(tmp_path / "nowhere" / "new.pt", False).check(source)

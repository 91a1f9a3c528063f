"""`sritool tune`: searches with tiny runs, against `compare`; resuming them, and refusals."""

from __future__ import annotations

import signal
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from sritool.cli import plan_worker
from sritool.cli.child import Done
from sritool.evaluation.collapse import has_collapsed
from sritool.runs.checkpoint import load_checkpoint
from sritool.runs.folder import hold
from support.program import small_settings
from support.tables import Commands, Run, json_rows, output, rows

RATE = "optimizer.learning_rate=0.0005..0.5:log"
STEPS = "sampler.steps=1..4"
SMALL = ("--recipe", "small.recipe.toml", "--threads", 1, "-q")


def states(trials: list[dict[str, Any]]) -> dict[int, str]:
    """Trial -> its state, without the remark that it ignores z."""
    return {row["trial"]: row["state"].removesuffix(", ignores z") for row in trials}


def given(*more: object, trials: int = 3) -> list[object]:
    """The command line of a search with small runs."""
    return ["tune", "mine", "--over", RATE, "--over", STEPS, "--trials", trials, *SMALL, *more]


def test_trials_are_ranked_by_validation_nll(run: Run, commands: Commands) -> None:
    found = json_rows(run(*given("-f", "json")))
    assert commands.names() == ["train", "evaluate"] * 3
    assert [row["nll"] for row in found] == sorted(row["nll"] for row in found)
    runs = [f"runs/{row['run']}" for row in sorted(found, key=lambda row: row["trial"])]
    how = ("--split", "valid", "--limit", 8, "--metrics", "nll", "--against", runs[0], "--threads", 1, "-q")
    compared = {row["run"]: row for row in json_rows(run("compare", *runs, *how, "-f", "json"))}
    for row in found:
        other = compared[row["run"]]
        for name in ("nll", "nll se", "nll diff", "nll diff se"):
            assert row[name] == other[name]
        assert (row["epochs"], row["seconds"] > 0) == (1, True)
        collapsed = has_collapsed(load_checkpoint(Path("runs", row["run"], "best.pt")))
        assert row["state"] == ("done, ignores z" if collapsed else "done")
        stored = load_checkpoint(Path("runs", row["run"], "last.pt"))
        assert row["steps"] == stored.progress.step
        assert row["sampler.steps"] == stored.config.sampler.steps
        assert row["optimizer.learning_rate"] == stored.config.optimizer.learning_rate
    (reference,) = (row for row in found if row["trial"] == 0)
    assert (reference["sampler.steps"], reference["nll diff"]) == (3, None)
    assert not any("test" in map(str, words) for words in commands.given)


def test_more_trials_add_to_existing_ones(run: Run, commands: Commands) -> None:
    first = rows(run(*given(trials=2)))
    commands.given.clear()
    assert rows(run(*given(trials=2))) == first
    assert commands.given == []
    more = {row["trial"]: row for row in rows(run(*given(trials=3)))}
    assert commands.names() == ["train", "evaluate"]
    assert commands.given[0][commands.given[0].index("--name") + 1] == more["2"]["run"]
    assert [more[row["trial"]] for row in first] == first


def test_dry_run_lists_the_commands(run: Run, commands: Commands) -> None:
    shown = json_rows(run(*given("--dry-run", "-f", "json")))
    assert commands.given == []
    assert [(row["step"], row["state"]) for row in shown] == [("train", "to do"), ("evaluate", "to do")] * 3
    assert all(row["seconds"] > 0 for row in shown)
    assert all("--split valid" in row["command"] for row in shown if row["step"] == "evaluate")


def test_search_is_finished_in_slices(run: Run, commands: Commands) -> None:
    def stopped(words: Sequence[str]) -> Done | None:
        if words[0] == "train" and words[words.index("--name") + 1].endswith("-001"):
            output(run(*words, "--max-steps", 2))
            return Done(0, "", 1.0, True)
        return None

    commands.instead = stopped
    (row,) = (row for row in json_rows(run(*given("-f", "json"))) if row["trial"] == 1)
    assert (row["state"], row["nll"], row["steps"]) == ("0 of 1 epochs", None, 2)
    commands.given.clear()
    commands.instead = lambda words: None
    (row,) = (row for row in json_rows(run(*given("-f", "json"))) if row["trial"] == 1)
    assert (states([row])[1], row["steps"], commands.names()) == ("done", 8, ["train", "evaluate"])
    assert run(*given("--budget", f"{plan_worker.LEAST - 1:g}s", trials=4)).exit_code == 0
    assert commands.names() == ["train", "evaluate"]


def test_record_and_recipe_are_written(run: Run, commands: Commands) -> None:
    elsewhere = ("--data-dir", "data/../data")
    shown = output(run(*given("-f", "markdown", "--write", "record.md", "--best", "best.toml", *elsewhere)))
    assert "| trial |" in shown
    record = Path("record.md").read_text(encoding="utf-8")
    best = next(line for line in record.splitlines() if "**" in line).split(" | ")
    parts = ("sritool tune mine", RATE, "--seed 0", " ".join(elsewhere), "PyTorch", "sritool 0")
    assert all(part in record for part in parts)
    assert record.count("\n| ") == 5  # the header, the rule and three trials
    settings = tomllib.loads(output(run("train", "mine", "--recipe", "best.toml", "--print-config")))
    assert [str(settings["optimizer"]["learning_rate"]), str(settings["sampler"]["steps"])] == best[1:3]
    assert (settings["recipe"], settings["generator"]["hidden"]) == ("custom (best)", 16)
    assert f"trial {best[0].strip('| ')} is" in record or "no trial is better" in record


def test_failed_trial_does_not_end_the_search(run: Run, commands: Commands) -> None:
    def fails(code: int, *endings: str) -> None:
        done = Done(code, "an earlier line\nthe gradient is not finite\n", 0.1, True)
        commands.instead = lambda words: (
            done if words[0] == "train" and words[words.index("--name") + 1].endswith(endings) else None
        )

    fails(4, "-001")
    result = run(*given("-f", "json", "--write", "record.md"))
    assert states(json_rows(result)) == {0: "done", 1: "failed: the gradient is not finite", 2: "done"}
    assert "failed: the gradient is not finite" in Path("record.md").read_text(encoding="utf-8")
    fails(1, "-001")
    assert run(*given()).exit_code == 1
    fails(4, "-000", "-001", "-002")
    result = run(*given("--seed", 1, "--best", "best.toml"))
    assert (result.exit_code, result.stdout.count("failed: ")) == (4, 3)
    assert "best.toml is not written" in result.stderr
    assert not Path("best.toml").exists()


def test_run_of_another_search_is_refused(run: Run, commands: Commands) -> None:
    output(run(*given("--name", "own", trials=2)))
    commands.given.clear()
    result = run(*given("--name", "own", "--seed", 1, trials=2))
    assert (result.exit_code, commands.given) == (2, [])
    assert "own-001 is of another search" in result.stderr
    assert "--name" in result.stderr


def test_trial_held_by_another_process_is_skipped(run: Run, commands: Commands) -> None:
    Path("runs/own-001").mkdir()
    with hold(Path("runs/own-001")):
        result = run(*given("--name", "own", "-f", "json"))
    assert states(json_rows(result)) == {0: "done", 1: "to do, in use by another process", 2: "done"}
    names = [words[words.index("--name") + 1] for words in commands.given if words[0] == "train"]
    assert names == ["own-000", "own-002"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("mine",), "--over"),
        (("mine", "--over", "sampler.stps=5..20"), "sampler.steps"),
        (("mine", "--over", "sampler.steps=20..5"), "empty"),
        (("mine", "--over", "optimizer.learning_rate=0..1:log"), "above 0"),
        (("mine", "--over", "optimizer.name=1..2"), "comma-separated"),
        (("mine", "--over", STEPS, "--set", "sampler.steps=3"), "leave one"),
        (("mine", "--over", STEPS, "--set", "sampler.stps=3"), "sampler.steps"),
        (("mine", "--over", STEPS, "--trials", 0), "--trials"),
        (("mine", "--over", STEPS, "--trials", 1001), "--trials"),
        (("mine", "--over", STEPS, "--epochs", 0), "--epochs"),
        (("mine", "--over", STEPS, "--budget", "soon"), "9m"),
        (("mine", "--over", STEPS, "--method", "lm"), "no use for"),
        (("mine", "--over", STEPS, "--recipe", "none"), "ours"),
        (("mine", "--over", STEPS, "--name", "a/b"), "a/b-000"),
        (("mine", "--over", STEPS, "--best", "best.md"), ".toml"),
        (("mine", "--over", STEPS, "--write", "no/where.md"), "--write"),
        (("nowhere", "--over", STEPS), "preprocess"),
    ],
)
def test_refused_options(run: Run, commands: Commands, words: tuple[object, ...], message: str) -> None:
    result = run("tune", *words, "--threads", 1)
    assert (result.exit_code, result.stdout, commands.given) == (2, "", [])
    assert message in result.stderr
    assert len(result.stderr.splitlines()) == 1


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, pytest.param(signal.SIGINT, marks=pytest.mark.at_length)])
def test_signal_saves_and_the_same_command_resumes(
    run: Run, start_program: Any, number: signal.Signals
) -> None:
    Path("small.recipe.toml").write_text(small_settings(epochs=200).replace("[", "[all."), encoding="utf-8")
    words = [str(word) for word in given("--name", "own") if word != "-q"]
    process = start_program("-m", "sritool", *words)
    for line in process.stderr:
        if "epoch 2/200" in line:
            process.send_signal(number)
            break
    _, stderr = process.communicate(timeout=120)
    assert process.returncode == 128 + number, stderr
    done = load_checkpoint(Path("runs/own-000/last.pt")).progress.epoch
    assert 0 < done < 200
    shown = json_rows(run(*words, "--dry-run", "-f", "json"))
    trained = [row["state"] for row in shown if row["step"] == "train"]
    assert trained == [f"{done} of 200 epochs", "to do", "to do"]

"""`sritool train`: dry runs, run folders, limits, resuming (against an uninterrupted run), and output."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from sritool.config.settings import RunConfig
from sritool.config.values import build, to_toml
from sritool.training.configure import shown
from sritool.training.deadline import Deadline
from sritool.training.loop import Trainer
from support.tables import Run, json_rows, rows, same


def last(run: str) -> dict[str, Any]:
    loaded: dict[str, Any] = torch.load(f"runs/{run}/last.pt", weights_only=True)
    return loaded


def assert_same_state(one: str, other: str) -> None:
    """Check that two runs ended with the same weights, optimiser and position, apart from the time taken."""
    first, second = last(one), last(other)
    for run in (first, second):
        run["trainer"]["position"].pop("seconds")
    assert same(first["weights"], second["weights"])
    assert same(first["trainer"], second["trainer"])


# Dry runs and run folders


def test_dry_run_estimates_costs_and_trains_nothing(run: Run) -> None:
    result = run("train", "mine", "--config", "small.toml", "--dry-run", "-f", "json")
    values = {row["quantity"]: row["value"] for row in json_rows(result)}
    assert values["parameters"] == sum(weights.numel() for weights in last("mine-sri")["weights"].values())
    assert values["training sentences"] == 128
    assert values["steps in an epoch"] == 128 // 16
    assert values["time of an epoch, without validation"] >= 0
    assert sorted(path.name for path in Path("runs").iterdir()) == ["mine-lm", "mine-sri"]


def test_dry_run_counts_the_averaged_weights(train_small: Run) -> None:
    memory, words = {}, ("--method", "lm", "--hidden", 600, "--dry-run", "-f", "json")
    for decay in (0, 0.9):
        result = train_small(*words, "--set", f"optimizer.ema_decay={decay}")
        values = {row["quantity"]: row["value"] for row in json_rows(result)}
        memory[decay] = values["memory for the model and a batch"]
    assert memory[0.9] - memory[0] == pytest.approx(4 * values["parameters"] / 2**20, abs=1.0)


@pytest.mark.parametrize(
    ("steps", "quantity", "epochs"),
    [
        (None, "time of the plan", 3),
        (2, "time of the rest of the plan", 3),
        (8, "time of the rest of the plan", 2),
        (19, "time of the rest of the plan", 1),
        (30, "time of the rest of the plan", 0),
    ],
)
def test_dry_run_counts_the_remaining_epochs(
    train_small: Run, steps: int | None, quantity: str, epochs: int
) -> None:
    command = ["--method", "vae-fb", "--pretraining-epochs", 1, "--name", "queue", "--resume"]
    if steps is not None:
        assert train_small(*command, "--max-steps", steps).exit_code == 0
    printed = rows(train_small(*command, "--dry-run"))
    (unit,) = (row["unit"] for row in printed if row["quantity"] == quantity)
    assert unit.startswith(f"min, {epochs} epochs")
    assert ("autoencoder" in unit) == (epochs == 3)


def test_runs_are_numbered_and_never_overwritten(train_small: Run) -> None:
    before = {path: path.read_bytes() for path in Path("runs/mine-lm").iterdir()}
    for number in (2, 3):
        assert train_small("--method", "lm", "--max-steps", 1).exit_code == 0
        there = {path.name for path in Path(f"runs/mine-lm-{number}").iterdir()}
        assert there == {"best.pt", "last.pt", "config.toml", "metrics.jsonl"}
    assert {path: path.read_bytes() for path in Path("runs/mine-lm").iterdir()} == before


def test_name_and_folders_are_those_asked_for(train_small: Run) -> None:
    Path("data").rename("prepared")
    folders = ("--name", "first.try", "--runs-dir", "a/b", "--data-dir", "prepared")
    result = train_small("--method", "lm", "--max-steps", 1, *folders)
    assert result.exit_code == 0, result.stderr
    assert Path("a/b/first.try/last.pt").is_file()
    assert "saved in a/b/first.try" in result.stderr


def test_saved_config_equals_print_config(run: Run, train_small: Run) -> None:
    assert train_small("--max-steps", 1, "--seed", 9, "--latent", 3).exit_code == 0
    printed = run("train", "mine", "--config", "small.toml", "--seed", 9, "--latent", 3, "--print-config")
    assert Path("runs/mine-sri-2/config.toml").read_text() == printed.stdout
    assert to_toml(shown(build(RunConfig, last("mine-sri-2")["config"]))) == printed.stdout


def test_precision_chosen_by_auto_is_shown(train_small: Run) -> None:
    result = train_small("--method", "lm", "--max-steps", 1, "--precision", "auto")
    used = last("mine-lm-2")["config"]["training"]["precision"]
    assert f"training lm on mine, in runs/mine-lm-2, products in {used}\n" in result.stderr
    result = train_small("--method", "lm", "--max-steps", 1, "--precision", "float32")
    assert "products in" not in result.stderr


# Stopping and resuming


def test_every_form_of_resume_continues_bit_for_bit(run: Run, train_small: Run) -> None:
    stopped = train_small("--max-steps", 5, "--name", "halves")
    assert stopped.exit_code == 0
    assert "stopped by --max-steps after 5 steps" in stopped.stderr
    assert last("halves")["trainer"]["position"]["step"] == 5
    for step, resume in enumerate((["--resume"], ["--resume", "auto"], ["--resume=auto"]), 5):
        result = train_small("--name", "halves", "--max-steps", step + 1, *resume)
        assert result.exit_code == 0, result.stderr
        assert f"going on with sri on mine at step {step}, in runs/halves" in result.stderr
    assert train_small("--resume", "runs/halves", "--max-steps", 11).exit_code == 0
    assert train_small("--resume", "runs/halves/last.pt", "--max-steps", 12).exit_code == 0
    alone = run("train", "--resume", "runs/halves", "--max-steps", 13, "--threads", 1, "--no-summary")
    assert "going on with sri on mine at step 12, in runs/halves" in alone.stderr
    result = train_small("--resume", "halves")  # by its name in runs/
    assert "finished the plan after 16 steps" in result.stderr
    assert train_small("--name", "whole").exit_code == 0
    assert_same_state("halves", "whole")
    assert sorted(path.name for path in Path("runs").iterdir()) == ["halves", "mine-lm", "mine-sri", "whole"]


@pytest.mark.parametrize(
    "words",
    [
        "--from tiny-sri",
        "--from mine-lm --runs-dir elsewhere",
        "--from runs/mine-lm --preset tiny",
        "--from runs/mine-lm --config whole.toml",
        "--from runs/mine-ae --method vae-fb --config whole.toml",
        "--embeddings vectors.txt --preset tiny",
        "--embeddings vectors.txt --config whole.toml",
    ],
)
def test_same_command_resumes_a_warm_start(run: Run, train_small: Run, words: str) -> None:
    method = "vae-fb" if "vae-fb" in words else "sri"
    if method == "vae-fb":
        assert train_small("--method", "ae", "--max-steps", 1).exit_code == 0
    whole = run("train", "mine", "--config", "small.toml", "--method", method, "--print-config").stdout
    Path("whole.toml").write_text(whole)
    Path("vectors.txt").write_text("heron 1 2 3 4 5 6 7 8\n")
    runs = Path("elsewhere" if "elsewhere" in words else "runs")
    Path("runs").rename(runs)
    for step in (1, 2):
        command = [*words.split(), "--resume", "--name", "new", "--max-steps", step, "--no-summary"]
        result = run("train", "mine", "--threads", 1, *command)
        assert result.exit_code == 0, result.stderr
        saved = torch.load(runs / "new" / "last.pt", weights_only=True)
        assert saved["progress"]["step"] == step
        assert len(saved["config"]["warm_start"]["digest"]) == 64


@pytest.mark.parametrize("name", ["model", "model-\udcff.pt"])  # without an ending, and not UTF-8
def test_a_source_may_have_any_file_name(train_small: Run, name: str) -> None:
    shutil.copy("runs/mine-sri/best.pt", name)
    given = ["--name", "new", "--resume"]
    result = train_small(*given, "--max-steps", 1, "--from", name)
    assert result.exit_code == 0, result.stderr
    assert last("new")["config"]["warm_start"]["checkpoint"] == name
    result = train_small(*given, "--max-steps", 2, "--from", Path(name).absolute())
    assert result.exit_code == 0, result.stderr
    result = train_small(*given, "--max-steps", 3, "--from", "runs/mine-lm")
    assert result.exit_code == 2
    assert "the run to resume began from" in result.stderr


def test_bare_resume_finds_the_run_by_corpus_and_method(train_small: Run) -> None:
    assert train_small("--method", "lm", "--epochs", 3, "--resume").exit_code == 0
    assert last("mine-lm")["progress"]["epoch"] == 3
    assert last("mine-sri")["progress"]["epoch"] == 2
    assert train_small("--set", "method=lm", "--epochs", 4, "--resume").exit_code == 0
    assert last("mine-lm")["progress"]["epoch"] == 4


def test_max_time_saves_and_exits_with_0(train_small: Run) -> None:
    result = train_small("--method", "lm", "--epochs", 100000, "--patience", 0, "--max-time", "0.2s")
    assert result.exit_code == 0
    step = last("mine-lm-2")["trainer"]["position"]["step"]
    assert f"stopped by --max-time after {step} step" in result.stderr
    assert Path("runs/mine-lm-2/best.pt").is_file()


def test_max_time_too_short_for_a_step(train_small: Run) -> None:
    train_small("--max-steps", "2")
    result = train_small("--resume", "--max-time", "0.001s")
    assert result.exit_code == 0
    assert "no time was left for a step" in result.stderr
    assert "same command" not in result.stderr


def test_words_beyond_the_vocabulary_has_no_effect(train_small: Run) -> None:
    assert "--words 1000 has no effect" in train_small("--words", "1000", "--max-steps", "1").stderr


def test_training_minutes_limit_a_run_unless_max_time_does(train_small: Run) -> None:
    forever = ["--method", "lm", "--epochs", 100000, "--patience", 0, "--set", "training.minutes=0.005"]
    limited = train_small(*forever)
    assert limited.exit_code == 0
    message = limited.stderr.splitlines()[-1]
    assert "stopped by training.minutes" in message
    assert "--resume" in message  # how to continue
    other = train_small(*forever[:-1], "training.minutes=9", "--max-time", "0.1s")
    assert "--max-time" in other.stderr
    ended = train_small("--method", "lm", "--set", "training.minutes=9")
    assert "finished the plan" in ended.stderr
    assert "training.minutes" not in ended.stderr


def test_repeating_the_command_finishes_the_plan(train_small: Run) -> None:
    command = ["--method", "lm", "--name", "queue", "--preset", "captions", "--seed", 3, "--resume", "auto"]
    first = train_small(*command, "--max-steps", 4)
    assert "no run to go on with yet; training lm on mine, in runs/queue" in first.stderr
    second = train_small(*command)
    assert "going on with lm on mine at step 4" in second.stderr
    assert "finished the plan after 16 steps" in second.stderr
    before = Path("runs/queue/last.pt").read_bytes()
    third = train_small(*command)
    assert third.exit_code == 0
    assert "runs/queue had finished the plan already; to go further, give more --epochs" in third.stderr
    assert Path("runs/queue/last.pt").read_bytes() == before
    assert "after 24 steps" in train_small(*command, "--epochs", 3).stderr


def test_divergence_exits_with_4_and_keeps_the_last_state(run: Run, train_small: Run) -> None:
    explodes = "optimizer.decay={start = 1.0, end = 1e38, begin = 0.5}"  # in the second epoch
    result = train_small("--method", "lm", "--set", explodes, "--set", "optimizer.clip=0")
    line = result.stderr.splitlines()[-1]
    assert (result.exit_code, line[:7]) == (4, "error: ")
    assert "the last good state is in runs/mine-lm-2/last.pt" in line
    assert run("info", "runs/mine-lm-2/last.pt").exit_code == 0


def test_divergence_at_the_start_leaves_no_run(train_small: Run) -> None:
    result = train_small("--method", "lm", "--learning-rate", 1e38, "--set", "optimizer.clip=0")
    assert (result.exit_code, result.stderr.splitlines()[-1][:6]) == (4, "error:")
    assert not Path("runs/mine-lm-2").exists()


def test_changed_settings_of_a_resumed_run_are_listed(train_small: Run) -> None:
    assert "changed settings" not in train_small("--method", "lm", "--resume").stderr
    changed = train_small("--method", "lm", "--resume", "--epochs", 9, "--learning-rate", 0.0123)
    (line,) = [line for line in changed.stderr.splitlines() if "changed settings" in line]
    assert ("→ 0.0123" in line, "training.epochs" in line, "hidden" in line) == (True, True, False)


def test_resume_takes_the_run_of_that_exact_name(train_small: Run) -> None:
    for name in ("sig", "sig-2"):  # sig-2 is the newer one, and could be a second run of sig
        assert train_small("--method", "lm", "--name", name).exit_code == 0
    again = ("--method", "lm", "--name", "sig", "--resume")
    assert "in runs/sig\n" in train_small(*again).stderr
    shutil.rmtree("runs/sig")
    assert "training lm on mine, in runs/sig\n" in train_small(*again).stderr
    shutil.rmtree("runs/sig")
    Path("runs/sig").mkdir()
    Path("runs/sig/notes.txt").touch()  # so the run of that name is sig-2
    assert "in runs/sig-2\n" in train_small(*again).stderr


def test_bare_resume_names_an_unfinished_run_of_another_name(run: Run, train_small: Run) -> None:
    def notes(*words: object) -> list[str]:
        result = run(*words, "--config", "small.toml", "--no-summary", "--max-steps", 1, "--resume")
        return [line for line in result.stderr.splitlines() if "another run" in line]

    train_small("--method", "ae", "--max-steps", 1, "--name", "stopped")
    train_small("--method", "vae-anneal", "--name", "finished")
    assert notes("train", "other", "--method", "ae") == []
    assert notes("train", "mine", "--method", "vae-anneal") == []
    assert notes("train", "mine", "--method", "ae", "--name", "own") == []
    shutil.rmtree("runs/own")
    (line,) = notes("train", "mine", "--method", "ae")
    assert line.endswith("--resume runs/stopped")


# Output and the corpus


def test_stdout_has_one_table_and_stderr_the_rest(run: Run) -> None:
    result = run("train", "mine", "--config", "small.toml", "--epochs", 1)
    found = rows(result)
    assert [row["metric"] for row in found] == ["ppl", "nll", "posterior-kl", "recon", "permuted"]
    of = {(row["run"], row["data"], row["sentences"], row["of"]) for row in found}
    assert of == {("mine-sri-2", "mine test", "6", "16")}
    messages = result.stderr.splitlines()
    assert messages[0] == "training sri on mine, in runs/mine-sri-2"
    assert messages[1].startswith("epoch 1/1  1/8 steps  recon ")
    epoch = next(line for line in messages if line.startswith("epoch 1/1: "))
    assert all(f"{name} " in epoch for name in ("nll", "posterior-kl", "permuted"))
    samples, between = messages.index("Samples: greedy, codes from the prior:"), len(messages) - 8
    assert messages[between].startswith("Interpolation: ")
    assert between == samples + 6
    assert all(line.startswith("  ") for line in (*messages[samples + 1 : between], *messages[between + 1 :]))


def test_no_summary_and_quiet_output(train_small: Run) -> None:
    result = train_small("--method", "lm", "--epochs", 1, "-q")
    assert result.stdout == ""
    assert len(result.stderr.splitlines()) == 2
    assert result.stderr.startswith("training lm on mine, in runs/mine-lm-2\nfinished the plan after 8 steps")


def test_share_of_the_summary_is_of_the_time_with_validations(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[float, ...]] = []

    def for_summary(deadline: Deadline, *given: float) -> float:
        asked.append(given)
        return 0.0

    train = Trainer.run
    monkeypatch.setattr(Deadline, "for_summary", for_summary)
    monkeypatch.setattr(Trainer, "run", lambda of: train(of)._replace(seconds=1000.0, validating=60.0))
    result = run("train", "mine", "--config", "small.toml", "-m", "lm", "--max-steps", 1, "--threads", 1)
    assert result.exit_code == 0, result.stderr
    assert [given[1:] for given in asked] == [(1000.0, 60.0)]


def test_source_files_of_a_prepared_corpus_are_not_read(train_small: Run) -> None:
    Path("texts").mkdir()
    result = train_small("--method", "lm", "--max-steps", 1, "--from", "texts")
    assert result.exit_code == 0
    assert "data/mine is prepared already; --from texts is not read" in result.stderr


def test_known_corpus_is_prepared_first(run: Run) -> None:
    Path("treebank").mkdir()
    for split in ("train", "valid", "test"):
        Path(f"treebank/ptb.{split}.txt").write_text(" the otter finds a kettle \n a mason sings \n" * 9)
    given = ["--config", "small.toml", "--from", "treebank", "-m", "lm", "--max-steps", 1, "--no-summary"]
    result = run("train", "ptb", *given)
    assert result.exit_code == 0, result.stderr
    assert result.stderr.startswith("preparing ptb in data/ptb\ntraining lm on ptb, in runs/ptb-lm\n")
    assert Path("data/ptb/corpus.json").is_file()


def test_corpus_may_be_a_path(run: Run) -> None:
    Path("data/mine").rename("elsewhere")
    result = run(
        "train", "./elsewhere", "--config", "small.toml", "-m", "lm", "--max-steps", 1, "--no-summary"
    )
    assert result.exit_code == 0, result.stderr
    assert Path("runs/elsewhere-lm/last.pt").is_file()

"""What cannot be done is said in one line with what to do next, with the right exit code, and nothing is left."""

from __future__ import annotations

import os
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from typer.testing import Result

Run = Callable[..., Result]

TRAIN = ["train", "mine", "--config", "small.toml", "--no-summary"]


class Ran:
    """A pickle that makes a folder when it is read as one."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, ("code-has-run",)


def tree() -> dict[str, int]:
    return {str(path): path.stat().st_mtime_ns for path in Path().rglob("*") if path.is_file()}


def refuses(run: Run, args: list[object], code: int, *parts: str, stdin: str | None = None) -> None:
    """One line on stderr with these parts, nothing on stdout, the exit code, no file made, changed or removed."""
    before = tree()
    result = run(*args, stdin=stdin)
    assert result.exit_code == code, result.stderr
    lines = result.stderr.splitlines()
    assert len(lines) == 1, result.stderr
    assert lines[0].startswith("error: ")
    assert all(part in lines[0] for part in parts), lines[0]
    assert result.stdout == ""
    assert tree() == before


@pytest.mark.parametrize(
    ("args", "parts"),
    [
        (["train"], ["NAME: a value is missing", "sritool train --help"]),
        (["train", "--resume", "mine"], ["NAME: a value is missing"]),
        (["train", "tinny"], ["no corpus 'tinny'; did you mean tiny?"]),
        (["train", "min"], ["did you mean mine?"]),
        (["train", "zzz"], ["known: tiny, ptb, snli, yahoo, yelp, mine, other", "preprocess FILE"]),
        (["train", "mine.txt"], ["mine.txt is a file; prepare it first: sritool preprocess mine.txt"]),
        ([*TRAIN, "--gpu", "0"], ["--gpu 0: PyTorch sees no GPU here; use --device cpu"]),
        ([*TRAIN, "--gpu", "first"], ["--gpu 'first' names no GPU", "--gpu 0"]),
        ([*TRAIN, "--device", "foo"], ["--device 'foo' is unknown; use cpu"]),
        ([*TRAIN, "--threads", "0"], ["--threads"]),
        ([*TRAIN, "--threads", "100000"], ["--threads 100000: give 1 to 1024"]),
        ([*TRAIN, "--method", "sry"], ["unknown method 'sry'; did you mean sri?"]),
        ([*TRAIN, "--preset", "tny"], ["unknown preset 'tny'; did you mean tiny?"]),
        ([*TRAIN, "--sampler", "papers"], ["unknown sampler 'papers'; did you mean paper?"]),
        (
            [*TRAIN, "--sampler", "paper", "-m", "lm"],
            ["method lm has no use for --sampler, a setting of sri; leave it out"],
        ),
        ([*TRAIN, "-m", "vae-fb", "--from", "runs/nothere"], ["--from runs/nothere: there is no such run"]),
        (
            [*TRAIN, "-m", "ae", "--pretraining-epochs", "2"],
            ["no use for --pretraining-epochs, a setting of vae"],
        ),
        ([*TRAIN, "-m", "ae", "--set", "kl.epochs=3"], ["no use for kl.epochs, a setting of vae-anneal, "]),
        ([*TRAIN, "-m", "vae-fb", "--resume", "mine-lm"], ["method lm, not vae-fb"]),
        ([*TRAIN, "--latent", "3", "-m", "lm"], ["method lm has no z"]),
        ([*TRAIN, "--latent", "0"], ["method sri infers z; give --latent of at least 1"]),
        ([*TRAIN, "--hidden", "0"], ["generator.hidden is 0", "1"]),
        ([*TRAIN, "--dropout", "1"], ["generator.dropout is 1.0", "less than 1"]),
        ([*TRAIN, "--epochs", "0"], ["training.epochs is 0", "1"]),
        ([*TRAIN, "--batch-size", "0"], ["training.batch_size is 0"]),
        ([*TRAIN, "--learning-rate", "-1"], ["optimizer.learning_rate is -1.0"]),
        ([*TRAIN, "--theta-gradient", "middle"], ["sampler.theta_gradient is 'middle'", "end", "path"]),
        ([*TRAIN, "--precision", "half"], ["training.precision is 'half'", "float32", "bfloat16"]),
        ([*TRAIN, "--seed", "-1"], ["training.seed is -1", "0"]),
        ([*TRAIN, "--max-steps", "0"], ["--max-steps"]),
        ([*TRAIN, "--max-time", "soon"], ["--max-time: 'soon' is not a length of time"]),
        ([*TRAIN, "--name", "../up"], ["--name '../up' cannot name a run"]),
        ([*TRAIN, "--set", "sampler.steps"], ["is no key=value", "--set sampler.steps=10"]),
        ([*TRAIN, "--set", "sampler.step=3"], ["unknown setting sampler.step; did you mean sampler.steps?"]),
        ([*TRAIN, "--set", "sampler.steps=many"], ["setting sampler.steps is 'many'", "int"]),
        (["train", "mine", "--config", "nowhere.toml"], ["cannot read", "nowhere.toml", "give a TOML file"]),
        (["train", "mine", "--config", "mine.txt"], ["cannot read the configuration mine.txt"]),
        ([*TRAIN, "--format", "jsn"], ["did you mean 'json'?"]),
        (["evaluate", "--metrics", "ppl,posteriorkl"], ["did you mean posterior-kl?"]),
        (["evaluate", "mine-lm", "--metrics", "foo"], ["no metric 'foo'; known: ppl, nll"]),
        (["evaluate", "mine-lm", "--metrics", ","], ["no metric to measure; give some of ppl"]),
        (["evaluate", "mine-lm", "--text", "mine.txt", "--split", "test"], ["leave it or --text out"]),
        (["evaluate", "mine-lm", "--split", "tests"], ["'tests' is no split; give train, valid or test"]),
        (["compare", "mine-lm", "--split", "tests"], ["'tests' is no split"]),
        (["tune-step", "mine-sri", "--split", "tests"], ["'tests' is no split"]),
        (["evaluate", "mine-lm", "--limit", "0"], ["--limit"]),
        (["evaluate", "mine-lm", "--estimator", "adaptative"], ["did you mean adaptive?"]),
        (["evaluate", "mine-lm", "--estimator", "x"], ["known: adaptive, sri, ais, encoder"]),
        (
            ["evaluate", "mine-lm", "mine-sri", "--estimator", "encoder"],
            ["needs a method whose encoder gives a distribution, not sri"],
        ),
        (["evaluate", "mine-sri", "mine-lm", "--estimator", "exact"], ["needs a model without z, not sri"]),
        (["evaluate", "mine-lm", "--memory", "much"], ["'much' is no amount of memory; write it like 4G"]),
        (["evaluate", "mine-lm", "--certify", "4"], ["cannot certify with", "method lm has no z"]),
        (["evaluate", "mine-lm", "--certify", "4", "--curve"], ["--certify prints the bracket alone"]),
        (["evaluate", "mine-lm", "--certify", "4", "--estimator", "ais"], ["--certify is for adaptive"]),
        (["evaluate", "mine-lm", "--gpu", "0"], ["PyTorch sees no GPU here"]),
        (["sample", "mine-sri", "--temperature", "0"], ["temperature", "more than 0"]),
        (["sample", "mine-sri", "--top-p", "2"], ["0 < p <= 1"]),
        (["sample", "mine-sri", "--top-k", "0"], ["--top-k"]),
        (["sample", "mine-sri", "-n", "0"], ["--n"]),
    ],
)
def test_usage(run: Run, args: list[object], parts: list[str]) -> None:
    if "--gpu" in args and torch.cuda.is_available():
        pytest.skip("there is a GPU here")
    if args[:1] == ["evaluate"] and "mine-lm" not in args:
        args = ["evaluate", "mine-lm", *args[1:]]
    refuses(run, args, 2, *parts)


@pytest.mark.parametrize(
    ("args", "parts"),
    [
        (["evaluate", "mine-lm", "--text", "nowhere.txt"], ["no such file: nowhere.txt; check the path"]),
        (["score", "mine-sri", "--text", "nowhere.txt"], ["no such file: nowhere.txt"]),
        (["evaluate", "nowhere.pt"], ["no checkpoint nowhere.pt; give a .pt file or a run folder"]),
        (["sample", "data"], ["no best.pt or last.pt in data; give a .pt file or a run folder"]),
        (["info", "--runs-dir", "none"], ["no run in none/; start one with: sritool train tiny"]),
        ([*TRAIN, "--resume", "nowhere"], ["no checkpoint nowhere; give"]),
    ],
)
def test_missing(run: Run, args: list[object], parts: list[str]) -> None:
    refuses(run, args, 3, *parts)


def broken(path: Path) -> dict[str, bytes]:
    """Files that are no checkpoint, by name."""
    whole = path.read_bytes()
    return {
        "half.pt": whole[: len(whole) // 2],
        "head.pt": whole[:100],
        "empty.pt": b"",
        "text.pt": b"the otter finds the kettle\n",
        "numbers.pt": pickle.dumps([1, 2, 3]),
    }


@pytest.mark.parametrize("command", ["evaluate", "sample", "score", "info", "resume"])
def test_files_that_are_no_checkpoints(run: Run, command: str) -> None:
    files = broken(Path("runs/mine-sri/last.pt"))
    Path("bad").mkdir()
    torch.save({"weights": torch.zeros(2)}, "bad/other.pt")
    for name, content in files.items():
        Path("bad", name).write_bytes(content)
    for name in ["other.pt", *files]:
        args: list[object] = [command, f"bad/{name}"]
        if command == "resume":
            shutil.copy(f"bad/{name}", "runs/mine-sri/last.pt")
            args, name = [*TRAIN, "--resume", "runs/mine-sri"], "runs/mine-sri/last.pt"
        refuses(run, args, 3, name, "is not a sritool checkpoint", "give a .pt file")


@pytest.mark.parametrize("command", ["evaluate", "sample", "score", "info"])
def test_code_in_a_file_does_not_run(run: Run, command: str) -> None:
    Path("plain.pt").write_bytes(pickle.dumps(Ran()))
    torch.save({"format": "sritool checkpoint", "version": 1, "config": Ran()}, "zipped.pt")
    for name in ("plain.pt", "zipped.pt"):
        refuses(run, [command, name], 3, name, "was not run", "give a .pt file")
        assert not Path("code-has-run").exists()


def test_checkpoint_of_a_later_version_and_one_with_other_weights(run: Run) -> None:
    values = torch.load("runs/mine-sri/best.pt", weights_only=True)
    torch.save(values | {"version": 99}, "later.pt")
    refuses(run, ["evaluate", "later.pt"], 3, "later.pt has checkpoint version 99", "use the version")
    config = values["config"] | {"generator": values["config"]["generator"] | {"hidden": 20}}
    torch.save(values | {"config": config}, "mixed.pt")
    refuses(run, ["evaluate", "mixed.pt"], 3, "mixed.pt", "do not fit its settings", "use another checkpoint")


@pytest.mark.parametrize("runs", ["blocked", "blocked/below"])
def test_runs_cannot_be_written(run: Run, runs: str) -> None:
    Path("blocked").write_text("a file")
    refuses(
        run, [*TRAIN, "--runs-dir", runs], 2, "cannot make the run folder", "give another with --runs-dir"
    )


@pytest.mark.skipif(not Path("/proc/version").exists(), reason="needs a folder that nobody can write to")
def test_folder_that_nobody_can_write_to(run: Run) -> None:
    refuses(
        run, [*TRAIN, "--runs-dir", "/proc"], 1, "cannot make the run folder /proc/mine-sri", "--runs-dir"
    )


def test_corpus_changed_since_training(run: Run) -> None:
    assert run("preprocess", "other.txt", "--name", "mine", "--force").exit_code == 0
    refuses(run, ["evaluate", "mine-sri"], 3, "is not the one that", "prepare that one again", "--text FILE")
    args: list[object] = [*TRAIN, "--resume", "runs/mine-sri", "--epochs", "3"]
    refuses(run, args, 3, "corpus mine is not the one that runs/mine-sri was trained on", "start a new run")


def test_corpus_that_is_not_there(run: Run) -> None:
    values = torch.load("runs/mine-sri/best.pt", weights_only=True)
    values["corpus"]["path"] = "/nowhere/mine"  # it is looked for there too
    torch.save(values, "moved.pt")
    assert run("evaluate", "moved.pt", "--metrics", "nll", "--limit", 2).exit_code == 0
    Path("data").rename("prepared")
    refuses(
        run, ["evaluate", "moved.pt"], 3, "corpus mine is not in data/", "sritool preprocess", "--data-dir"
    )


def test_runs_of_different_corpora_are_not_compared(run: Run) -> None:
    given = ["--config", "small.toml", "-m", "lm", "--max-steps", 1, "--no-summary"]
    assert run("train", "other", *given).exit_code == 0
    refuses(run, ["evaluate", "mine-lm", "other-lm"], 3, "different corpora", "mine-lm: mine", "one by one")


@pytest.mark.parametrize(
    ("args", "parts"),
    [
        (
            ["--hidden", "32"],
            ["has generator.hidden 16, not 32", "start a new run without --resume", "--name"],
        ),
        (["--seed", "5"], ["has training.seed 0, not 5"]),
        (["--batch-size", "8"], ["has training.batch_size 16, not 8"]),
        (["--method", "lm"], ["has method sri, not lm"]),
        (["--name", "mine-sri"], ["--name is for a new run"]),
    ],
)
def test_what_a_resumed_run_cannot_change(run: Run, args: list[object], parts: list[str]) -> None:
    refuses(run, [*TRAIN, "--resume", "runs/mine-sri", *args], 2, *parts)


def test_runs_that_cannot_be_resumed(run: Run) -> None:
    best = ["--resume", "runs/mine-sri/best.pt"]
    refuses(run, [*TRAIN, *best], 2, "best.pt cannot be resumed", "--resume runs/mine-sri")
    refuses(run, ["train", "other", "--resume", "runs/mine-sri"], 3, "corpus other is not the one")
    Path("runs/mine-sri/last.pt").unlink()
    refuses(run, [*TRAIN, "--resume", "runs/mine-sri"], 2, "has no last.pt to go on from", "without --resume")
    refuses(run, [*TRAIN, "--resume", "auto"], 2, "has no last.pt to go on from", "without --resume")


def test_damaged_corpus(run: Run) -> None:
    for path in Path("data/mine/train").glob("*.arrow"):
        path.write_bytes(b"nothing")
    refuses(run, list(TRAIN), 3, "data/mine/train is damaged", "sritool preprocess")


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("", ["standard input is empty", "one sentence a line"]),
        ("a\0b\n", ["standard input line 1 has a NUL byte"]),
    ],
)
@pytest.mark.parametrize("command", [["score", "mine-lm"], ["evaluate", "mine-lm", "--text", "-"]])
def test_text_that_is_none(run: Run, command: list[object], text: str, parts: list[str]) -> None:
    refuses(run, command, 3, *parts, stdin=text)


def test_text_that_is_not_utf8(run: Run) -> None:
    Path("latin.txt").write_bytes("the caf\xe9\n".encode("latin1"))
    for command in (["score", "mine-lm"], ["evaluate", "mine-lm"]):
        refuses(run, [*command, "--text", "latin.txt"], 3, "latin.txt is not UTF-8: line 1, byte 8", "iconv")

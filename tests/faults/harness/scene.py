"""A tiny invented corpus, commands on it that write files, and checks of those files after kills."""

from __future__ import annotations

import json
import random
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from faults.harness import Broken
from sritool.analysis.codes import read_codes
from sritool.data.store import load_corpus
from sritool.errors import SritoolError
from sritool.runs.checkpoint import Checkpoint, load_checkpoint

METHODS = ("sri", "lm", "ae", "vae-anneal", "vae-cyclical", "vae-lagging", "sa-vae", "vae-fbp", "vae-fb")
SAVE_EVERY = 2
CLOCKS = ("seconds", "validation_seconds", "tokens_per_second", "tuning_seconds", "share_of_training")

_WHO = ("a gardener", "the old pilot", "one nurse", "every baker", "my neighbour")
_DOES = ("greets", "paints", "never follows", "sells")
_WHAT = ("a lantern", "kites", "the big red barrel", "two clocks")

_SMALL = f"""
    --embedding 4 --hidden 6 --batch-size 8 --epochs 2 --save-every {SAVE_EVERY} --patience 0 --precision float32
    --threads 1 --set validation.share=0 --set validation.sentences=4
    --set validation.likelihood.samples=4 --set validation.likelihood.pilots=6 --set validation.likelihood.rounds=1
    --set validation.likelihood.modes=1
"""
_OWN = {
    "lm": "",
    "sri": "--latent 2 --langevin-steps 3 --tune-step-every 1",
    "vae-lagging": "--latent 2 --set lagging.updates=3 --set lagging.judge_every=2",
    "sa-vae": "--latent 2 --set refinement.steps=2",
    "vae-fb": "--latent 2 --pretraining-epochs 1",
    "vae-fbp": "--latent 2 --pretraining-epochs 1",
}


class Job(NamedTuple):
    """A command that writes files, and checks of these files in the folder where it runs."""

    name: str
    command: tuple[object, ...]
    whole: Callable[[Path], None]  # raises Broken after a kill if a file is neither old nor new
    result: Callable[[Path], Any]  # what must be the same at the end as without kills
    again: tuple[object, ...] = ()  # options for starting it again
    folder: str = "."


def names(folder: Path) -> set[str]:
    """The names in a folder."""
    return {path.name for path in folder.iterdir()}


def sentences(count: int, seed: int) -> list[str]:
    """Invented sentences."""
    rng = random.Random(seed)
    return [" ".join(rng.choice(part) for part in (_WHO, _DOES, _WHAT)) for _ in range(count)]


def write_texts(folder: Path) -> None:
    """Write the text files that the commands read."""
    for number, (name, count) in enumerate({"train": 40, "valid": 8, "test": 8, "other": 40}.items()):
        lines = "".join(f"{line}\n" for line in sentences(count, number))
        (folder / f"{name}.txt").write_text(lines, encoding="utf-8")
    lines = "".join(f"{line}\n" for line in sentences(48, 9))
    (folder / "lines.txt").write_text(lines, encoding="utf-8")


def preprocess(train: str = "train", *more: object) -> tuple[object, ...]:
    """The command that prepares the corpus `mine`."""
    texts = ("--train", f"{train}.txt", "--valid", "valid.txt", "--test", "test.txt")
    return ("preprocess", "--name", "mine", *texts, "--min-count", 1, *more)


def train(method: str, *more: object, summary: bool = False) -> tuple[object, ...]:
    """The command that trains for two epochs of five steps with two saves and a validation, unless `more` differs."""
    usual = f"{_SMALL} {_OWN.get(method, '--latent 2')}".split()
    pairs = zip(usual[::2], usual[1::2], strict=True)
    kept = [word for pair in pairs if pair[0] == "--set" or pair[0] not in more for word in pair]
    end = "--summary" if summary else "--no-summary"
    return ("train", "mine", "--method", method, end, *kept, *more)


def train_job(method: str) -> Job:
    """Training, which is resumed after a kill."""
    folder = f"runs/mine-{method}"
    return Job(
        f"train {method}",
        train(method),
        lambda where: check_run(where / folder),
        lambda where: run_result(where / folder),
        ("--resume",),
        folder,
    )


def jobs() -> list[Job]:
    """All commands that write files; those other than training read `runs/mine-sri`."""
    run = "runs/mine-sri"
    measure = ("evaluate", run, "--metrics", "nll,recon,kl", "--samples", 4, "--threads", 1, "--limit", 6)
    tune = ("tune-step", run, "--limit", 2, "--chains", 8, "--grid", "0.5,1", "--shape", "checkpoint")
    codes = ("encode", run, "--text", "lines.txt", "-o", "codes.npy", "--batch-size", 8, "--threads", 1)
    page = ("report", run, "-o", "page.html", "--map-sentences", 12, "--limit", 4, "--threads", 1)
    return [
        Job("preprocess", preprocess(), check_corpora, corpus_result),
        Job("preprocess --force", preprocess("other", "--force"), check_corpora, corpus_result),
        *map(train_job, METHODS),
        Job(
            "tune-step --write",
            (*tune, "--write", "tuned.pt", "--force", "--threads", 1),
            lambda where: check_checkpoint(where / "tuned.pt"),
            lambda where: checkpoint_result(where / "tuned.pt"),
        ),
        Job("encode", codes, check_codes, lambda where: read_codes(where / "codes.npy", 2).tobytes()),
        Job("evaluate", measure, check_evaluations, evaluations_result),
        Job(
            "plot -o",
            ("plot", "curves", run, "-o", "curves.svg"),
            lambda where: check_end(where / "curves.svg", b"</svg>"),
            lambda where: (where / "curves.svg").read_bytes(),
        ),
        Job(
            "report -o",
            page,
            lambda where: check_end(where / "page.html", b"</html>"),
            lambda where: (where / "page.html").is_file(),  # it has the time
        ),
    ]


def check_run(folder: Path) -> None:
    """Check that every file of a run is whole."""
    for name in ("best.pt", "last.pt"):
        check_checkpoint(folder / name)
    config = folder / "config.toml"
    if config.is_file():
        values = _read(config, lambda: tomllib.loads(config.read_text(encoding="utf-8")))
        if "training" not in values:
            raise Broken(f"{config} is cut short")
    metrics = folder / "metrics.jsonl"
    if metrics.is_file():
        _read(metrics, lambda: [json.loads(line) for line in metrics.read_text("ascii").splitlines()])


def check_checkpoint(path: Path) -> None:
    """Check that a checkpoint is missing or whole."""
    if path.exists():
        _read(path, lambda: load_checkpoint(path))


def check_corpora(folder: Path) -> None:
    """Check that the corpus is missing or whole, whether old or new."""
    if not (folder / "data" / "mine").exists():
        return

    def read() -> None:
        corpus = load_corpus(folder / "data" / "mine")
        for name in ("train", "valid", "test"):
            corpus.split(name)

    _read(folder / "data" / "mine", read)


def check_codes(folder: Path) -> None:
    """Check that the file of codes is missing or whole; the cache beside the checkpoint may be truncated."""
    path = folder / "codes.npy"
    if path.exists():
        _read(path, lambda: read_codes(path, 2))


def check_evaluations(folder: Path) -> None:
    """Check that each line is whole, as it is appended in one write."""
    path = folder / "runs" / "mine-sri" / "evaluations.jsonl"
    if path.exists():
        _read(path, lambda: [json.loads(line) for line in path.read_text("ascii").splitlines()])


def check_end(path: Path, end: bytes) -> None:
    """Check that a file is missing or complete."""
    if path.exists() and not path.read_bytes().rstrip().endswith(end):
        raise Broken(f"{path} is cut short")


def _read(path: Path, reader: Callable[[], Any]) -> Any:
    try:
        return reader()
    except (SritoolError, ValueError, OSError) as error:
        raise Broken(f"{path} is damaged after a kill: {error}") from error


def run_result(folder: Path) -> Any:
    """A finished run without times, in a form that can be compared bit by bit."""
    lines = (folder / "metrics.jsonl").read_text("ascii").splitlines()
    config = (folder / "config.toml").read_text(encoding="utf-8")
    kept = [checkpoint_result(folder / name) for name in ("best.pt", "last.pt")]
    return [*kept, [without_clocks(json.loads(line)) for line in lines], config]


def checkpoint_result(path: Path) -> Any:
    """A checkpoint without times, with tensors as bytes."""
    checkpoint: Checkpoint = load_checkpoint(path)
    return {
        "config": repr(checkpoint.config),
        "progress": without_clocks(vars(checkpoint.progress)),
        **{name: _bits(getattr(checkpoint, name)) for name in ("weights", "metrics", "trainer")},
    }


def corpus_result(folder: Path) -> Any:
    """The hash of the corpus's content."""
    return load_corpus(folder / "data" / "mine").info.content_hash


def evaluations_result(folder: Path) -> Any:
    """The measured figures."""
    path = folder / "runs" / "mine-sri" / "evaluations.jsonl"
    records = [json.loads(line) for line in path.read_text("ascii").splitlines()]
    return [record["metrics"] for record in records]


def without_clocks(record: Mapping[str, Any]) -> dict[str, Any]:
    """A record of metrics.jsonl without times, which differ between runs."""
    return {name: value for name, value in record.items() if name not in CLOCKS}


def _bits(value: Any) -> Any:
    if isinstance(value, torch.Tensor):
        return str(value.dtype), tuple(value.shape), np.ascontiguousarray(value.numpy()).tobytes()
    if isinstance(value, Mapping):
        return {name: _bits(item) for name, item in value.items() if name not in CLOCKS}
    if isinstance(value, list | tuple):
        return [_bits(item) for item in value]
    return value

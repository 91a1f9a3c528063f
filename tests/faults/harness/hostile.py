"""Checkpoints from strangers, each given to the real program: code, bombs, false claims and damage.

Each must be refused with exit code 3 and one line that names the file and a reason, in little time and memory, and
without running any code in it.
"""

from __future__ import annotations

import io
import shutil
import time
import warnings
from collections.abc import Iterator
from pathlib import Path

import torch

from faults.harness import Broken
from faults.harness.hostile_files import (
    Hostile,
    archive_files,
    damaged_files,
    legacy_files,
    pickled_files,
    tensor_files,
    whole_files,
)
from faults.harness.hostile_values import value_files
from sritool.runs.checkpoint import load_checkpoint
from sritool.runs.pickle_grammar import RefusedError
from sritool.runs.untrusted_file import load_values

COMMANDS = {
    "info": ["info", "FILE"],
    "evaluate": ["evaluate", "FILE"],
    "sample": ["sample", "FILE"],
    "resume": ["train", "mine", "--resume", "runs/mine-sri"],
    "from": ["train", "mine", "--config", "small.toml", "--method", "vae-fb", "--from", "FILE"],
}
SLOWEST = 20.0  # seconds for a refusal on a busy machine


def hostile_files(good: Path, canary: str) -> Iterator[Hostile]:
    """Yield all hostile files, made from one honest checkpoint that can be resumed."""
    content = good.read_bytes()
    values = torch.load(good, weights_only=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield from pickled_files(canary)
        yield from tensor_files()
        yield from whole_files(values)
        yield from archive_files(content)
        yield from legacy_files(values)
        yield from value_files(values)
    yield from damaged_files(content)


def refused(hostile: Hostile, command: str, canary: str) -> None:
    """Give a file to a command in the current folder, which has mine-sri. Raises: Broken if it is not refused."""
    from typer.testing import CliRunner

    from sritool.cli.app import app

    target = Path("runs/mine-sri/last.pt" if command == "resume" else "stranger.pt")
    target.write_bytes(hostile.content)
    words = [str(target) if word == "FILE" else word for word in COMMANDS[command]]
    began = time.perf_counter()
    result = CliRunner().invoke(app, words, prog_name="sritool")
    seconds = time.perf_counter() - began
    lines = result.stderr.splitlines()
    outcome = f"{hostile.name}, {command}: exit code {result.exit_code}, {result.stderr[-600:]!r}"
    if Path(canary).exists():
        raise Broken(f"code has run: {outcome}")
    if result.exit_code != 3 or result.stdout or len(lines) != 1 or not lines[0].startswith("error: "):
        raise Broken(outcome)
    if (
        str(target) not in lines[0]
        or ";" not in lines[0]
        or len(lines[0]) > 500
        or not lines[0].isprintable()
    ):
        raise Broken(outcome)
    if seconds > SLOWEST:
        raise Broken(f"{seconds:.0f} s: {outcome}")


def reads(content: bytes) -> bool:
    """Whether a file is accepted. Raises: any error except RefusedError."""
    try:
        load_values(io.BytesIO(content))
    except RefusedError:
        return False
    return True


def make_run() -> None:
    """Make a small run and its corpus in the current folder, and good.pt, a copy of its last.pt."""
    from support.program import small_settings, sritool

    words = ("heron", "kettle", "lantern", "mason", "otter", "pedlar")
    lines = [f"the {a} finds the {b} by {c}" for a in words for b in words for c in words if a != b]
    Path("mine.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    sizes = {"embedding": 4, "hidden": 8, "latent": 2, "steps": 2, "epochs": 1, "batch_size": 32}
    settings = small_settings(**sizes, sentences=4, final_sentences=4)
    Path("small.toml").write_text(settings, encoding="utf-8")
    for line in (
        "preprocess mine.txt --name mine --valid-share 0.1 --test-share 0.1",
        "train mine --config small.toml --threads 1 --no-summary --sampler tempered",
    ):
        result = sritool(*line.split())
        if result.exit_code:
            raise Broken(result.stderr)
    load_checkpoint(Path(shutil.copy("runs/mine-sri/last.pt", "good.pt")))

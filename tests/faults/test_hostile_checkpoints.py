"""Checkpoints from strangers: none runs code, takes much memory or is trusted; each is refused in one line."""

from __future__ import annotations

import contextlib
import copyreg
import dataclasses
import json
import pickle
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from faults.harness.hostile import COMMANDS, Hostile, hostile_files, reads, refused
from faults.harness.hostile_files import flipped, saved
from faults.harness.hostile_pickles import EXTENSION, programs
from sritool.cli.app import app
from sritool.errors import CheckpointError
from sritool.runs.checkpoint import load_checkpoint, save_checkpoint
from sritool.runs.weights import method_without_memory

EVERY = 5  # one in this many files is given to a command too
ABSURD = (
    "terabyte",
    "bomb",
    "laughs",
    "gigabytes",
    "as a key",
    "million",
    "megabyte",
    "bytearray",
    "config.",
    "size",
    "stride",
    "words",
    "quoted",
)


@pytest.fixture(scope="module")
def canary(home: Path) -> str:
    return str(home / "code-has-run")


@pytest.fixture(scope="module")
def files(home: Path, canary: str) -> list[Hostile]:
    return list(hostile_files(home / "good.pt", canary))


@pytest.fixture
def here(home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(home)
    return home


def test_traps_work_with_plain_pickle(canary: str) -> None:
    copyreg.add_extension("os", "mkdir", EXTENSION)
    try:
        for program in programs(canary):
            if program.runs:
                with contextlib.suppress(Exception):  # some fail after their code has run
                    pickle.loads(program.content)
                assert Path(canary).exists(), program.name
                Path(canary).rmdir()
    finally:
        copyreg.remove_extension("os", "mkdir", EXTENSION)


def test_loading_refuses_every_file(here: Path, files: list[Hostile], canary: str) -> None:
    assert len(files) > 400
    path = here / "stranger.pt"
    for hostile in files:
        if hostile.only:
            continue
        path.write_bytes(hostile.content)
        with pytest.raises(CheckpointError) as caught:
            method_without_memory(load_checkpoint(path), path)
        message = str(caught.value)
        assert str(path) in message, hostile.name
        assert message.isprintable(), hostile.name
        assert ";" in message, hostile.name
        assert not Path(canary).exists(), hostile.name


def test_commands_refuse_files_in_one_line(
    here: Path, files: list[Hostile], canary: str, at_length: bool
) -> None:
    for number, hostile in enumerate(files if at_length else files[::EVERY]):
        chosen = list(COMMANDS) if at_length else [list(COMMANDS)[number % len(COMMANDS)]]
        for command in [hostile.only] if hostile.only else chosen:
            refused(hostile, command, canary)


def test_resuming_refuses_hostile_trainer_state(here: Path, files: list[Hostile], canary: str) -> None:
    for hostile in files:
        if hostile.only:
            refused(hostile, hostile.only, canary)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs the memory limits of Linux")
def test_absurd_claims_take_no_memory(
    here: Path, files: list[Hostile], run_program: Callable[..., Any]
) -> None:
    """One process reads them all and may grow by no more than a third of the smallest claim."""
    folder = here / "absurd"
    folder.mkdir()
    claims = [
        hostile for hostile in files if not hostile.only and any(word in hostile.name for word in ABSURD)
    ]
    assert len(claims) > 80
    for number, hostile in enumerate(claims):
        (folder / f"{number}.pt").write_bytes(hostile.content)
    program = (
        "import json, resource, sys; from pathlib import Path\n"
        "from sritool.runs.checkpoint import load_checkpoint; from sritool.errors import CheckpointError\n"
        "from sritool.runs.weights import method_without_memory\n"
        "good = Path('good.pt'); method_without_memory(load_checkpoint(good), good)\n"
        "peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "before, refused = peak(), 0\n"
        "for path in sorted(Path('absurd').iterdir()):\n"
        "    try: method_without_memory(load_checkpoint(path), path)\n"
        "    except CheckpointError: refused += 1\n"
        "print(json.dumps({'grown': peak() - before, 'refused': refused}))"
    )
    done = run_program("-c", program, cwd=here)
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stderr == ""
    found = json.loads(done.stdout)
    assert found["refused"] == len(claims)
    assert found["grown"] < 300_000, f"{found['grown'] / 1024:.0f} MB"


def test_every_flipped_bit_is_detected(here: Path, at_length: bool) -> None:
    """In a sample over the whole file, and at its end."""
    content = (here / "good.pt").read_bytes()
    assert reads(content)
    size = len(content)
    places = range(size) if at_length else [*range(0, size, 29), *range(size - 120, size)]
    for place in places:
        for bit in range(8) if at_length else [place % 8]:
            assert not reads(flipped(content, place, bit)), place
    for place in range(0, size, 1 if at_length else 97):
        assert not reads(content[:place]), place


def test_torch_reads_a_file_with_a_digest(here: Path) -> None:
    values = torch.load("good.pt", weights_only=True)
    loaded = load_checkpoint(Path("good.pt"))
    assert values["weights"].keys() == loaded.weights.keys()
    assert all(torch.equal(values["weights"][name], tensor) for name, tensor in loaded.weights.items())


def test_saved_checkpoints_can_be_read_again(here: Path, tmp_path: Path) -> None:
    """Views of larger tensors, shared lists and NumPy numbers would be refused if they were saved as they are."""
    good = load_checkpoint(Path("good.pt"))
    record = {"epoch": 1, "step": 9, "validation_seconds": 0.5, "nll": np.float64(3.5), "recon": 2.0}
    weights = {name: torch.stack([tensor, tensor])[1] for name, tensor in good.weights.items()}
    name = "generator.recurrent"
    weights[name] = good.weights[name].t().contiguous().t()
    shared = dataclasses.replace(good, weights=weights, metrics=[record, record])
    save_checkpoint(shared, tmp_path / "m.pt")
    loaded = load_checkpoint(tmp_path / "m.pt")
    assert loaded.metrics == [record, record]
    assert all(torch.equal(loaded.weights[key], tensor) for key, tensor in good.weights.items())
    assert (tmp_path / "m.pt").stat().st_size < Path("good.pt").stat().st_size * 1.2


@pytest.mark.parametrize("record", [{}, {"nll": "low"}, {"nll": None}, {"nll": True}])
@pytest.mark.parametrize("words", [["info", "odd.pt"], ["report", "odd.pt", "--output", "odd.html"]])
def test_records_without_figures_are_accepted(here: Path, words: list[str], record: dict[str, Any]) -> None:
    values = torch.load("good.pt", weights_only=True)
    Path("odd.pt").write_bytes(
        saved(values | {"metrics": [{"epoch": 1, "step": 1, "validation_seconds": 0.1, **record}]})
    )
    result = CliRunner().invoke(app, words, prog_name="sritool")
    assert result.exit_code == 0, result.stderr


@pytest.mark.parametrize(
    "line", [b"[" * 100_000, b"null", b"3", b'{"kind": "step"}', b"\xff\xfe", b'{"a":' * 50_000]
)
@pytest.mark.parametrize("name", ["metrics.jsonl", "evaluations.jsonl"])
def test_bad_log_lines_do_not_stop_a_command(here: Path, tmp_path: Path, name: str, line: bytes) -> None:
    run = tmp_path / "run"
    run.mkdir()
    (run / "last.pt").write_bytes(Path("good.pt").read_bytes())
    (run / name).write_bytes(line + b"\n")
    words = ["compare", str(run), "--metrics", "nll", "--limit", "2", "--samples", "2"]
    result = CliRunner().invoke(app, words, prog_name="sritool")
    assert result.exit_code == 0, result.stderr

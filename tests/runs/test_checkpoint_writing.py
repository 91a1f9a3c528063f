"""Writing a checkpoint: all or nothing, with a one-line error on failure."""

from __future__ import annotations

import io
import os
import resource
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from sritool.config.settings import RunConfig
from sritool.data.tokenizer import SPECIALS, WordTokenizer
from sritool.errors import Interrupted, SritoolError
from sritool.runs import checkpoint as module
from sritool.runs.checkpoint import Checkpoint, save_checkpoint
from sritool.runs.checkpoint_checks import TrainedOn, TrainingProgress
from sritool.runs.untrusted_file import save_values


def sample_checkpoint() -> Checkpoint:
    weights = {"w": torch.arange(6.0)}
    corpus, progress = TrainedOn("mine", "data/mine", "ab12", 9, True, False), TrainingProgress(1, 7, 1.0)
    return Checkpoint(RunConfig(), WordTokenizer(SPECIALS), weights, corpus, progress, [], {"position": {}})


def test_open_reader_keeps_the_old_file(tmp_path: Path) -> None:
    save_checkpoint(sample_checkpoint(), tmp_path / "m.pt")
    before = (tmp_path / "m.pt").read_bytes()
    with (tmp_path / "m.pt").open("rb") as reader:
        save_checkpoint(replace(sample_checkpoint(), trainer=None), tmp_path / "m.pt")
        assert reader.read() == before
    assert (tmp_path / "m.pt").read_bytes() != before


@pytest.mark.parametrize(
    "error", [OSError(28, "No space left on device"), RuntimeError("stopped"), KeyboardInterrupt()]
)
def test_failed_write_leaves_the_old_file(
    error: BaseException, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "m.pt"
    save_checkpoint(sample_checkpoint(), path)
    before = path.read_bytes()

    def fail(values: Any, file: Any) -> None:
        file.write(b"half of it")
        raise error

    monkeypatch.setattr(module.torch, "save", fail)
    expected = SritoolError if isinstance(error, OSError) else type(error)
    with pytest.raises(expected):
        save_checkpoint(sample_checkpoint(), path)
    assert path.read_bytes() == before
    assert [entry.name for entry in tmp_path.iterdir()] == ["m.pt"]


def test_disk_full_while_torch_writes(tmp_path: Path) -> None:
    """A file size limit stands in for a full disk; it strikes inside torch's own writer."""
    large = replace(sample_checkpoint(), weights={"w": torch.zeros(1 << 20)})
    bounds = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, bounds[1]))
    try:
        with pytest.raises(SritoolError, match="free some space"):
            save_checkpoint(large, tmp_path / "m.pt")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, bounds)
    assert list(tmp_path.iterdir()) == []


def test_signal_while_torch_writes() -> None:
    """Its exception arrives as it was raised, though torch would turn it into an error of its archive."""

    class Stopping(io.BytesIO):
        def write(self, data: Any) -> int:
            if self.tell() > 1 << 20:
                raise Interrupted(signal.SIGTERM)
            return super().write(data)

    with pytest.raises(Interrupted):
        save_values({"w": torch.zeros(1 << 20)}, Stopping())


def test_missing_folder(tmp_path: Path) -> None:
    with pytest.raises(SritoolError, match="give a folder you can write"):
        save_checkpoint(sample_checkpoint(), tmp_path / "none" / "m.pt")


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes everywhere")
def test_unwritable_folder(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(SritoolError, match="give a folder you can write"):
            save_checkpoint(sample_checkpoint(), tmp_path / "m.pt")
    finally:
        tmp_path.chmod(0o700)

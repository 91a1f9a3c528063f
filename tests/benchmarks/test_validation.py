"""The comparison of cheap and thorough validations: each epoch is measured once, and the choices are named."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks import validation
from sritool.data.corpora.named import named_source
from sritool.data.preprocess import preprocess_corpus
from sritool.runs.checkpoint import load_checkpoint

SMALL = [
    *("method=lm", "generator.latent=0", "training.epochs=3", "training.sentences=200", "generator.hidden=8"),
    *("training.batch_size=50", "training.precision=float32", "validation.sentences=20"),
]


def test_every_epoch_is_measured_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    preprocess_corpus("tiny", named_source("tiny", None), data_dir=tmp_path / "data")
    folders = ("tiny", str(tmp_path / "out"), "--data-dir", str(tmp_path / "data"))
    words = [*folders, "--threads", "1", "--", *SMALL]
    assert validation.main(words) == 0
    for epoch in (1, 2, 3):
        assert load_checkpoint(tmp_path / f"out/epoch-{epoch}.pt").progress.epoch == epoch
    file = tmp_path / "out" / validation.FOUND
    before = file.read_text()
    values = [json.loads(line)["thorough"]["value"] for line in before.splitlines()]
    assert len(set(values)) == 3
    shown = capsys.readouterr().out
    assert f"thorough chooses epoch {1 + values.index(min(values))}" in shown
    assert validation.main(words) == 0
    assert file.read_text() == before

"""The authors' released files are read as they are, and every setting gets a row."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks.released_codes import SETTINGS, main


def test_every_setting_gets_a_row(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    random = np.random.default_rng(0)
    for labels in (0, 100):
        folder = tmp_path / f"cache_{labels}_labels"
        folder.mkdir()
        for part in ("train", "val", "test"):
            batches = [random.integers(0, 2, 20) for _ in range(3)]
            codes = [torch.from_numpy(random.normal(size=(20, 8)) + 3.0 * of[:, None]) for of in batches]
            torch.save([code.float() for code in codes], folder / f"{part}_data_batch_cache_1")
            torch.save(
                [[str(label) for label in of] for of in batches], folder / f"{part}_labels_batch_cache_1"
            )
    assert main([str(tmp_path), "--seeds", "2"]) == 0
    header, *rows = [line.split("\t") for line in capsys.readouterr().out.splitlines()]
    assert len(rows) == len(SETTINGS) + 2
    assert {len(row) for row in rows} == {len(header)}
    assert all(float(row[header.index("mean")]) > 95 for row in rows)

"""Records and finished batches: their format, damaged lines, and evaluations that resume after a kill."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sritool.config.settings import LikelihoodConfig
from sritool.data.store import Corpus
from sritool.evaluation.measure import Measured, measure
from sritool.evaluation.metric_table import METRICS
from sritool.evaluation.record import FinishedBatches, Record, checkpoint_hash, packed
from sritool.evaluation.settings import EvaluationSettings
from sritool.runs.folder import LAST
from sritool.runs.model import load_model
from support.figures import columns_of

ARRAYS = {"kl": np.array([0.1, np.nan, -np.inf]), "draws": np.arange(12.0).reshape(3, 2, 2) / 7}
SETTINGS = EvaluationSettings(
    tuple(METRICS), likelihood=LikelihoodConfig(samples=8, pilots=6, rounds=1, modes=2), batch_size=3
)


def finished(folder: Path, *parts: object) -> FinishedBatches:
    return FinishedBatches(folder / "best.pt", *parts)


def written(folder: Path) -> FinishedBatches:
    kept = finished(folder)
    kept.add("likelihood", 0, ARRAYS)
    kept.add("likelihood", 1, {"kl": np.zeros(2)})
    return kept


def test_arrays_are_read_back_bit_for_bit(tmp_path: Path) -> None:
    written(tmp_path)
    again = finished(tmp_path)
    assert (again.found, again.damaged) == (2, 0)
    found = again.get("likelihood", 0)
    assert found is not None
    for name, values in ARRAYS.items():
        np.testing.assert_array_equal(found[name], values)
    assert again.get("likelihood", 2) is None
    assert again.get("density", 0) is None
    again.remove()
    assert list(tmp_path.iterdir()) == []


def test_truncated_line_is_measured_again(tmp_path: Path) -> None:
    path = written(tmp_path).path
    path.write_bytes(path.read_bytes()[:-20])
    again = finished(tmp_path)
    assert (again.found, again.damaged) == (1, 1)
    again.add("likelihood", 1, {"kl": np.ones(2)})
    third = finished(tmp_path)
    assert third.found == 2
    np.testing.assert_array_equal((third.get("likelihood", 1) or {})["kl"], np.ones(2))


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: text.replace(b"likelihood", b"likelihoot", 1),
        lambda text: text[30:],
        lambda text: b"\xff" + text,
        lambda text: b"{}" + text[text.index(b"\n") :],
        lambda text: b"[" * 100_000 + text[text.index(b"\n") :],
    ],
    ids=["a letter", "a cut line", "not text", "no checksum", "deep"],
)
def test_only_the_damaged_line_is_skipped(tmp_path: Path, damage: Callable[[bytes], bytes]) -> None:
    path = written(tmp_path).path
    path.write_bytes(damage(path.read_bytes()))
    again = finished(tmp_path)
    assert (again.found, again.damaged) == (1, 1)
    assert again.get("likelihood", 0) is None
    assert any("damaged" in note for note in again.notes())
    again.add("likelihood", 0, ARRAYS)
    assert finished(tmp_path).found == 2


def test_malformed_lines_with_checksums_are_damaged(tmp_path: Path) -> None:
    """Anyone who packs a run folder can write valid checksums."""
    record = finished(tmp_path)
    arrays = packed({"kl": np.zeros(2)})
    for entry in (
        {"stage": "kl", "number": 0},
        {"stage": "kl", "number": [0], "arrays": arrays},
        {"stage": "kl", "number": 0, "arrays": 3},
        {"stage": "kl", "number": 0, "arrays": {"kl": arrays["kl"] | {"dtype": "O"}}},
        {"stage": "kl", "number": 0, "arrays": {"kl": arrays["kl"] | {"shape": [3]}}},
        {"stage": "kl", "number": 0, "arrays": {"kl": arrays["kl"] | {"base64": "?"}}},
    ):
        record.append(entry)
    again = finished(tmp_path)
    assert (again.found, again.damaged) == (0, 6)


def test_two_writers_lose_nothing(tmp_path: Path) -> None:
    first, second = Record(tmp_path / "kept"), Record(tmp_path / "kept")
    for number, writer in enumerate((first, second, first, second)):
        writer.append({"number": number})
    assert list(first.read(lambda entry: entry["number"])) == [0, 1, 2, 3]


def test_missing_folder_keeps_nothing(tmp_path: Path) -> None:
    kept = written(tmp_path / "nowhere")
    assert not kept.writable
    assert kept.get("likelihood", 0) is None
    assert list(tmp_path.iterdir()) == []


def test_name_depends_on_checkpoint_data_and_settings(tmp_path: Path) -> None:
    checkpoint = tmp_path / "best.pt"
    checkpoint.write_bytes(b"weights")
    ids = np.arange(5, dtype=np.int32)

    def name(ids: np.ndarray[Any, Any] = ids, settings: EvaluationSettings = SETTINGS) -> Path:
        return FinishedBatches(checkpoint, checkpoint_hash(checkpoint), ids, settings).path

    assert name() == name()
    assert name().parent == tmp_path
    names = {name(), name(ids + 1), name(settings=replace(SETTINGS, seed=1))}
    checkpoint.write_bytes(b"other weights")
    assert len(names | {name()}) == 4


class Killed(BaseException):
    """Stands in for SIGKILL: nothing cleans up after it."""


def test_evaluation_resumes_after_a_kill(new_run: Callable[..., Any], corpus: Corpus, tmp_path: Path) -> None:
    run = new_run(training={"epochs": 1})
    run.train()
    method = load_model(run.folder / LAST).method
    split, examples = corpus.split("test"), np.arange(10)

    def evaluate(report: Callable[..., None], keeps: bool = True) -> Measured:
        return measure(method, split, examples, SETTINGS, report, finished(tmp_path) if keeps else None)

    reported: list[tuple[str, int, int]] = []
    whole = evaluate(lambda *event: reported.append(event), keeps=False)
    starts = [number for number, (_, done, total) in enumerate(reported) if done < total]
    for number in starts[1::6]:
        seen: list[str] = []

        def killed(label: str, done: int, total: int, number: int = number, seen: list[str] = seen) -> None:
            seen.append(label)
            if len(seen) == number + 1:
                raise Killed

        finished(tmp_path).remove()
        with pytest.raises(Killed):
            evaluate(killed)
        assert finished(tmp_path).found == sum(start < number for start in starts)
        resumed = evaluate(lambda *_: None)
        assert repr(resumed.estimates) == repr(whole.estimates)  # NaN included
        for column, values in columns_of(whole.figures).items():
            np.testing.assert_array_equal(columns_of(resumed.figures)[column], values, err_msg=column)


def test_finished_batches_are_not_measured_again(
    new_run: Callable[..., Any], corpus: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = new_run(training={"epochs": 1})
    run.train()
    method = load_model(run.folder / LAST).method
    given = (method, corpus.split("test"), np.arange(10), SETTINGS, None)
    first = measure(*given, finished(tmp_path))
    monkeypatch.setattr(type(method), "conditional", lambda *_: pytest.fail("everything was measured before"))
    again = measure(*given, finished(tmp_path))
    assert repr(again.estimates) == repr(first.estimates)

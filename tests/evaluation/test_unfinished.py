"""Finished batches: written, read, damaged, and an evaluation that goes on after it was killed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sritool.config.settings import LikelihoodConfig
from sritool.data.store import Corpus
from sritool.evaluation.measure import NEEDS, Measured, Settings, measure
from sritool.evaluation.unfinished import FinishedBatches, beside, content_hash
from sritool.runs.folder import LAST
from sritool.runs.model import load_model

ARRAYS = {"kl": np.array([0.1, np.nan, -np.inf]), "draws": np.arange(12.0).reshape(3, 2, 2) / 7}
SETTINGS = Settings(tuple(NEEDS), LikelihoodConfig(samples=8, pilots=6, rounds=1, modes=2), batch_size=3)


def written(path: Path) -> FinishedBatches:
    finished = FinishedBatches(path)
    finished.add("likelihood", 0, ARRAYS)
    finished.add("likelihood", 1, {"kl": np.zeros(2)})
    return finished


def test_what_was_written_is_read_bit_for_bit(tmp_path: Path) -> None:
    path = tmp_path / "kept"
    written(path)
    again = FinishedBatches(path)
    assert (again.found, again.damaged) == (2, False)
    found = again.get("likelihood", 0)
    assert found is not None
    for name, values in ARRAYS.items():
        np.testing.assert_array_equal(found[name], values)
    assert again.get("likelihood", 2) is None
    assert again.get("density", 0) is None
    again.remove()
    assert not path.exists()


def test_a_line_that_a_kill_cut_is_measured_again(tmp_path: Path) -> None:
    path = tmp_path / "kept"
    written(path)
    path.write_bytes(path.read_bytes()[:-20])
    again = FinishedBatches(path)
    assert (again.found, again.damaged) == (1, False)
    again.add("likelihood", 1, {"kl": np.ones(2)})
    third = FinishedBatches(path)
    assert third.found == 2
    np.testing.assert_array_equal((third.get("likelihood", 1) or {})["kl"], np.ones(2))


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: text.replace(b"likelihood", b"likelihoot", 1),
        lambda text: b"nonsense\n" + text,
        lambda text: text.replace(b'"version": 1', b'"version": 0'),
        lambda text: b"\xff\n" + text,
    ],
    ids=["a letter", "a line before", "another version", "not text"],
)
def test_a_damaged_file_is_not_used(tmp_path: Path, damage: Callable[[bytes], bytes]) -> None:
    path = tmp_path / "kept"
    written(path)
    path.write_bytes(damage(path.read_bytes()))
    again = FinishedBatches(path)
    assert (again.found, again.damaged) == (0, True)
    again.add("likelihood", 0, ARRAYS)
    assert (FinishedBatches(path).found, FinishedBatches(path).damaged) == (1, False)


def test_a_folder_that_is_not_there_keeps_nothing(tmp_path: Path) -> None:
    finished = written(tmp_path / "nowhere" / "kept")
    assert finished.get("likelihood", 0) is None
    assert list(tmp_path.iterdir()) == []


def test_the_name_stands_for_checkpoint_sentences_and_settings(tmp_path: Path) -> None:
    checkpoint = tmp_path / "best.pt"
    checkpoint.write_bytes(b"weights")
    ids = np.arange(5, dtype=np.int32)

    def name(ids: np.ndarray[Any, Any] = ids, settings: Settings = SETTINGS) -> Path:
        return beside(checkpoint, content_hash(checkpoint), ids, settings)

    assert name() == name()
    assert name().parent == tmp_path
    names = {name(), name(ids + 1), name(settings=SETTINGS._replace(seed=1))}
    checkpoint.write_bytes(b"other weights")
    assert len(names | {name()}) == 4


class Killed(BaseException):
    """Stands for SIGKILL: nothing cleans up after it."""


def test_an_evaluation_goes_on_after_any_kill(
    new_run: Callable[..., Any], corpus: Corpus, tmp_path: Path
) -> None:
    run = new_run(training={"epochs": 1})
    run.train()
    method = load_model(run.folder / LAST).method
    split, examples = corpus.split("test"), np.arange(10)

    def evaluate(report: Callable[..., None], path: Path | None = tmp_path / "kept") -> Measured:
        return measure(method, split, examples, SETTINGS, report, FinishedBatches(path) if path else None)

    told: list[tuple[str, int, int]] = []
    whole = evaluate(lambda *event: told.append(event), None)
    starts = [number for number, (_, done, total) in enumerate(told) if done < total]
    for number in starts[1::6]:
        seen: list[str] = []

        def killed(label: str, done: int, total: int, number: int = number, seen: list[str] = seen) -> None:
            seen.append(label)
            if len(seen) == number + 1:
                raise Killed

        (tmp_path / "kept").unlink(missing_ok=True)
        with pytest.raises(Killed):
            evaluate(killed)
        assert FinishedBatches(tmp_path / "kept").found == sum(start < number for start in starts)
        resumed = evaluate(lambda *_: None)
        assert repr(resumed.estimates) == repr(whole.estimates)  # NaN included
        for column, values in whole.rows.items():
            np.testing.assert_array_equal(resumed.rows[column], values, err_msg=column)


def test_what_is_finished_is_not_measured_again(
    new_run: Callable[..., Any], corpus: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = new_run(training={"epochs": 1})
    run.train()
    method = load_model(run.folder / LAST).method
    given = (method, corpus.split("test"), np.arange(10), SETTINGS, None)
    first = measure(*given, FinishedBatches(tmp_path / "kept"))
    monkeypatch.setattr(type(method), "conditional", lambda *_: pytest.fail("all was measured"))
    again = measure(*given, FinishedBatches(tmp_path / "kept"))
    assert repr(again.estimates) == repr(first.estimates)

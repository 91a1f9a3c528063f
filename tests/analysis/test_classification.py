"""Classification end to end: planted classes are recovered, and only the sentences needed are encoded."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sritool.analysis import classification as task
from sritool.analysis import classification_plan
from sritool.analysis import classifiers as classification
from sritool.analysis.classification import MAJORITY, WORDS, Classification, classify
from sritool.analysis.classification_data import Request
from sritool.analysis.classification_plan import draw
from sritool.analysis.classifiers import Accuracy, wilson
from sritool.data.sampling import seeded_choice
from sritool.errors import DataError, UsageError
from sritool.evaluation.posterior_codes import CodeSettings

NewRun = Callable[..., Any]

CLASSES = {"a": "gardener", "b": "pilot", "c": "nurse"}  # the words that determine the planted codes
VERBS = ("greets", "paints", "never follows")
THINGS = ("a lantern", "kites", "the big red barrel")


def planted(count: int, seed: int, classes: str = "abc", words: bool = True) -> list[str]:
    """Rows label<TAB>text, with or without a word that reveals the class."""
    random = np.random.default_rng(seed)
    rows = []
    for number in range(count):
        label = classes[number % len(classes)]
        who = f"one {CLASSES[label]}" if words else "one"
        rows.append(f"{label}\t{who} {random.choice(VERBS)} {random.choice(THINGS)} {number}{seed}")
    return rows


@pytest.fixture(scope="module")
def checkpoint(begin_run: NewRun, tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = begin_run(tmp_path_factory.mktemp("runs"), name="toy-sri")
    run.train(max_steps=1)
    return Path(run.folder / "last.pt")


@pytest.fixture(autouse=True)
def _single_cost(monkeypatch: pytest.MonkeyPatch) -> None:
    """Try a single cost: choosing one takes most of the time."""
    monkeypatch.setattr(classification, "COSTS", {"linear": (1.0,)})


@pytest.fixture
def files(tmp_path: Path) -> Request:
    """Files train, valid, test and two labelled ones of equal size, in three classes."""
    for name, count, seed in (
        ("train", 90, 0),
        ("valid", 30, 1),
        ("test", 45, 2),
        ("few", 12, 3),
        ("other", 12, 4),
    ):
        (tmp_path / f"{name}.tsv").write_text("\n".join(planted(count, seed)) + "\n")
    return Request(
        labelled=(tmp_path / "few.tsv",),
        train=tmp_path / "train.tsv",
        valid=tmp_path / "valid.tsv",
        test=tmp_path / "test.tsv",
        draws=2,
    )


@pytest.fixture
def encoded(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int, CodeSettings]]:
    """Replace the model's codes by a Gaussian per class; returns the calls: sentences, split size, settings."""
    calls: list[tuple[int, int, CodeSettings]] = []
    centres = {"gardener": [3.0, 0, 0], "pilot": [-3.0, 0, 0], "nurse": [0, 4.0, 0]}

    def codes(
        model: Any, split: Any, rows: Any, settings: CodeSettings, batch_size: int, report: Any
    ) -> np.ndarray:
        calls.append((len(rows), len(split), settings))
        random = np.random.default_rng(len(calls))
        words = [model.tokenizer.decode(split.targets(int(row))).split()[1] for row in rows]
        means = np.array([centres.get(word, [0, 0, 0]) for word in words]).reshape(-1, 3)
        found = means + 0.3 * random.normal(size=(len(rows), 3))
        report("encoding", len(rows), len(rows))
        return found.astype(np.float32)[:, None]

    monkeypatch.setattr(task, "codes_of_split", codes)
    return calls


def run(checkpoint: Path, request: Request) -> Classification:
    return classify([checkpoint], request, "cpu", lambda *_: None)


def row(found: Classification, name: str, labels: int | None) -> Accuracy:
    (only,) = [row for row in found.rows if row.name == name and row.labels == labels]
    return only


@pytest.mark.slow
def test_planted_classes_are_recovered(checkpoint: Path, files: Request, encoded: list[Any]) -> None:
    found = run(checkpoint, files)
    assert found.classes == ("a", "b", "c")
    assert [(row.name, row.labels) for row in found.rows] == [
        (MAJORITY, None),
        (WORDS, 12),
        ("toy-sri", 0),
        ("toy-sri", 12),
    ]
    clusters, machine = row(found, "toy-sri", 0), row(found, "toy-sri", 12)
    assert (clusters.shares, machine.shares) == ((1.0, 1.0), (1.0,))
    assert machine.confusion.tolist() == np.diag([15, 15, 15]).tolist()
    assert clusters.confusion.tolist() == np.diag([30, 30, 30]).tolist()  # of both seeds
    assert (clusters.used, machine.used) == (0, 12)
    assert row(found, MAJORITY, None).value == pytest.approx(1 / 3)
    assert machine.interval == clusters.interval == wilson(45, 45)
    assert (clusters.deviation, clusters.standard_error) == (0.0, 0.0)
    assert (found.tested, found.of) == (45, 45)


def test_only_needed_sentences_are_encoded_once(checkpoint: Path, files: Request, encoded: list[Any]) -> None:
    run(checkpoint, dataclasses.replace(files, chains=3, seed=5))
    settings = CodeSettings(3, True, 5)
    assert encoded == [(45, 45, settings), (12, 12, settings), (90, 90, settings), (30, 30, settings)]
    encoded.clear()
    found = run(checkpoint, dataclasses.replace(files, chains=3, seed=5, chain_dropout=True))
    assert {settings for _, _, settings in encoded} == {CodeSettings(3, True, 5, True)}
    assert "codes are means of 3 chains with dropout, or an encoder's own" in found.notes
    assert "test.tsv: 45 of 301 words are unknown to the model and read as <unk>: 02, 12" in found.notes[0]
    encoded.clear()
    run(checkpoint, dataclasses.replace(files, zero=False))
    assert [(count, of) for count, of, _ in encoded] == [(45, 45), (12, 12)]
    encoded.clear()
    found = run(checkpoint, dataclasses.replace(files, limit=20, train_sentences=25))
    assert [(count, of) for count, of, _ in encoded] == [(20, 45), (12, 12), (20, 90), (20, 30)]
    assert (found.tested, found.of) == (20, 45)
    assert "codes are ends of chains without noise, or an encoder's own" in found.notes
    assert "clusters of 20 of 90 sentences" in found.notes[2]
    assert "named by 20 of 30 sentences" in found.notes[3]
    encoded.clear()
    found = run(checkpoint, dataclasses.replace(files, train_sentences=25))
    assert [count for count, _, _ in encoded] == [45, 12, 25, 30]
    encoded.clear()
    drawn = dataclasses.replace(files, labelled=(), counts=(6, 9))
    run(checkpoint, drawn)
    assert [of for _, of, _ in encoded] == [45, 90]
    assert 9 <= encoded[1][0] <= 18  # the union of two draws of nine, which include those of six


def test_numbers_of_labels_left_out_by_the_limit_are_noted(
    checkpoint: Path, files: Request, encoded: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(classification_plan, "COUNTS", (0, 6, 30, 60, 100))
    found = run(checkpoint, dataclasses.replace(files, labelled=(), limit=20))
    assert {row.labels for row in found.rows} == {None, 0, 6}
    assert any("--limit 20" in note and "--labels 30,60" in note for note in found.notes)


def test_equally_large_files_are_draws(
    checkpoint: Path, files: Request, encoded: list[Any], tmp_path: Path
) -> None:
    labelled = (tmp_path / "few.tsv", tmp_path / "other.tsv", tmp_path / "valid.tsv")
    found = run(checkpoint, dataclasses.replace(files, labelled=labelled))
    assert [(row.labels, len(row.shares)) for row in found.rows if row.name == "toy-sri"] == [
        (0, 2),
        (12, 2),
        (30, 1),
    ]
    with pytest.raises(UsageError, match="--labels draws from one file"):
        run(checkpoint, dataclasses.replace(files, labelled=labelled, counts=(6,)))


def test_draws_from_train(checkpoint: Path, files: Request, encoded: list[Any]) -> None:
    found = run(checkpoint, dataclasses.replace(files, labelled=()))  # of 0, 100, 1000 … only 0 is possible
    assert [row.labels for row in found.rows] == [None, 0]
    found = run(checkpoint, dataclasses.replace(files, labelled=(), counts=(0, 12, 30)))
    settings = [(12, 2, 12), (30, 2, 30), (0, 2, 0), (12, 2, 12), (30, 2, 30)]
    assert [(row.labels, len(row.shares), row.used) for row in found.rows[1:]] == settings
    again = run(checkpoint, dataclasses.replace(files, labelled=(), counts=(12,), draws=1))
    assert row(again, WORDS, 12).shares == row(found, WORDS, 12).shares[:1]
    with pytest.raises(UsageError, match="91 labels cannot be drawn from 90 sentences"):
        run(checkpoint, dataclasses.replace(files, labelled=(), counts=(91,)))


def test_spread_over_draws(checkpoint: Path, files: Request, encoded: list[Any]) -> None:
    drawn = row(run(checkpoint, dataclasses.replace(files, labelled=(), counts=(4,), draws=4)), WORDS, 4)
    assert len({*drawn.shares}) > 1
    assert drawn.value == pytest.approx(sum(drawn.shares) / 4)
    spread = sum((share - drawn.value) ** 2 for share in drawn.shares) / 3
    assert drawn.standard_error == pytest.approx((drawn.value * (1 - drawn.value) / 45) ** 0.5)
    assert drawn.deviation == pytest.approx(spread**0.5)
    assert drawn.interval == wilson(45 * drawn.value, 45)
    assert drawn.confusion.sum() == 4 * 45
    assert np.trace(drawn.confusion) == round(45 * sum(drawn.shares))


def test_note_on_labels_used_to_choose_c(
    checkpoint: Path, files: Request, encoded: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    note = "C is chosen on at most 12 labelled sentences"
    monkeypatch.setattr("sritool.analysis.classification_plan.CHOSEN_ON", 12)
    assert note not in run(checkpoint, files).notes
    assert note in run(checkpoint, dataclasses.replace(files, labelled=(), counts=(13,), draws=1)).notes


def test_naming_by_confidence_is_passed_on(
    checkpoint: Path, files: Request, encoded: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[str] = []
    names = task.Clusters.names

    def watched(self: Any, codes: Any, labels: Any, naming: str) -> Any:
        calls.append(naming)
        return names(self, codes, labels, naming)

    monkeypatch.setattr(task.Clusters, "names", watched)
    run(checkpoint, dataclasses.replace(files, naming="authors", components=2))
    assert calls == ["authors"] * 2


def test_overlap_with_test_is_counted_and_removed(
    checkpoint: Path, files: Request, encoded: list[Any], tmp_path: Path
) -> None:
    test = (tmp_path / "test.tsv").read_text().splitlines()
    for name, count in (("few", 3), ("valid", 5), ("train", 7)):
        text = (tmp_path / f"{name}.tsv").read_text()
        (tmp_path / f"{name}.tsv").write_text(
            text + "\n".join(line.upper().lower() for line in test[:count]) + "\n"
        )
    found = run(checkpoint, files)
    counts = {"few": "3 of 15", "valid": "5 of 35", "train": "7 of 97"}
    test_file = tmp_path / "test.tsv"
    recurring = [
        f"{count} sentences of {tmp_path / name}.tsv recur in {test_file}" for name, count in counts.items()
    ]
    assert set(recurring) <= set(found.notes)
    assert found.notes[-1] == "leave them out with --deduplicate"
    assert [count for count, _, _ in encoded] == [45, 15, 97, 35]
    encoded.clear()
    clean = run(checkpoint, dataclasses.replace(files, deduplicate=True))
    assert [count for count, _, _ in encoded] == [45, 12, 90, 30]  # test stays whole
    assert {f"{note}, and are left out" for note in recurring} <= set(clean.notes)
    assert (row(clean, "toy-sri", 15).used, clean.tested) == (12, 45)


@pytest.mark.parametrize("changed", ["labelled", "valid", "train"])
def test_complete_overlap_with_test_is_refused(
    checkpoint: Path, files: Request, encoded: list[Any], changed: str
) -> None:
    assert files.test is not None
    same: Any = (files.test,) if changed == "labelled" else files.test
    run(checkpoint, dataclasses.replace(files, **{changed: same}))
    with pytest.raises(DataError, match=r"every sentence of .*test\.tsv recurs in test; give another file"):
        run(checkpoint, dataclasses.replace(files, **{changed: same}, deduplicate=True))


def test_bag_of_words_never_sees_test(
    checkpoint: Path, files: Request, encoded: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    from sklearn.feature_extraction.text import TfidfVectorizer

    seen: set[str] = set()
    fit = TfidfVectorizer.fit_transform

    def watched(self: Any, texts: Any, labels: Any = None) -> Any:
        seen.update(texts)
        return fit(self, texts, labels)

    monkeypatch.setattr(TfidfVectorizer, "fit_transform", watched)
    found = run(checkpoint, files)
    assert row(found, WORDS, 12).value > row(found, MAJORITY, None).value
    few = {line.partition("\t")[2] for line in files.labelled[0].read_text().splitlines()}
    assert seen == few


def test_sentiment_as_numbers_and_names(
    checkpoint: Path, files: Request, encoded: list[Any], tmp_path: Path
) -> None:
    def renamed(name: str, names: dict[str, str]) -> Path:
        lines = [line for line in (tmp_path / f"{name}.tsv").read_text().splitlines() if line[0] in names]
        (tmp_path / f"{name}-2.tsv").write_text("\n".join(names[line[0]] + line[1:] for line in lines) + "\n")
        return tmp_path / f"{name}-2.tsv"

    numbers, words = {"a": "0", "b": "1"}, {"a": "negative", "b": "positive"}
    found = run(
        checkpoint,
        dataclasses.replace(
            files,
            labelled=(renamed("few", numbers),),
            train=renamed("train", words),
            valid=renamed("valid", words),
            test=renamed("test", words),
        ),
    )
    assert found.classes == ("negative", "positive")
    assert row(found, "toy-sri", 8).value == row(found, "toy-sri", 0).value == 1.0


def test_classes_that_a_source_lacks_are_noted(checkpoint: Path, files: Request) -> None:
    found = run(checkpoint, dataclasses.replace(files, **two_classes(files) | {"test": files.test}))
    lacking = [note for note in found.notes if "no sentence labelled c" in note]
    assert [Path(note.split()[0]).name for note in lacking] == ["few-two.tsv", "valid-two.tsv"]
    assert all("the 15 of 45 test sentences" in note for note in lacking)


def test_missing_corpus_suggests_test_option(checkpoint: Path, files: Request) -> None:
    request = dataclasses.replace(files, test=None, data_dir=files.labelled[0].parent)
    with pytest.raises(DataError, match=r"corpus toy is not in .* or --test FILE"):
        run(checkpoint, request)


def test_clustering_needs_no_labels_of_train(
    checkpoint: Path, files: Request, encoded: list[Any], tmp_path: Path
) -> None:
    lines = (tmp_path / "train.tsv").read_text().splitlines()
    (tmp_path / "train.txt").write_text("\n".join(line.partition("\t")[2] for line in lines) + "\n")
    plain = dataclasses.replace(files, labelled=(), train=tmp_path / "train.txt")
    found = run(checkpoint, dataclasses.replace(plain, counts=(0,)))
    assert row(found, "toy-sri", 0).value == 1.0
    with pytest.raises(DataError, match=r"train\.txt has no labels"):
        run(checkpoint, plain)
    with pytest.raises(UsageError, match="leave nothing to do"):
        run(checkpoint, dataclasses.replace(plain, counts=(0,), zero=False))


def two_classes(files: Request) -> dict[str, Any]:
    """The files without the third class."""
    assert files.train is not None
    folder, found = files.train.parent, dict[str, Path]()
    for name in ("few", "train", "valid", "test"):
        lines = (folder / f"{name}.tsv").read_text().splitlines()
        found[name] = folder / f"{name}-two.tsv"
        found[name].write_text("\n".join(line for line in lines if line[0] != "c") + "\n")
    return {"labelled": (found.pop("few"),), **found}


def test_too_few_sentences_to_cluster(checkpoint: Path, files: Request, encoded: list[Any]) -> None:
    with pytest.raises(DataError, match=r"2 sentences of .* are too few for 3 clusters; give more"):
        run(checkpoint, dataclasses.replace(files, train_sentences=2))
    begun = dataclasses.replace(files, train_sentences=3, components=3)
    run(checkpoint, begun)
    with pytest.raises(UsageError, match="--pca 3 is more than the 2 sentences that are clustered"):
        run(checkpoint, dataclasses.replace(begun, **two_classes(files), train_sentences=2))


def test_generator_that_ignores_z_is_noted(
    checkpoint: Path, files: Request, monkeypatch: pytest.MonkeyPatch
) -> None:
    for collapsed in (True, False):
        monkeypatch.setattr(
            "sritool.analysis.classification.has_collapsed", lambda _, answer=collapsed: answer
        )
        notes = run(checkpoint, files).notes
        assert any("its generator ignored z" in note for note in notes) == collapsed


def test_language_model_is_refused(begin_run: NewRun, tmp_path: Path, files: Request) -> None:
    other = begin_run(tmp_path, "lm", name="toy-lm")
    other.train(max_steps=1)
    with pytest.raises(UsageError, match=r"cannot classify with .*method lm has no z"):
        run(other.folder / "last.pt", files)


def test_draws_are_seeded_and_nested() -> None:
    usable = np.arange(100, 150)
    few, more = draw(usable, 200, 10, 7, 0), draw(usable, 200, 30, 7, 0)
    assert len({*few}) == 10
    assert {*few} <= {*more} <= {*usable}
    assert few.tolist() == sorted(few)
    assert draw(usable, 200, 10, 7, 0).tolist() == few.tolist()
    assert draw(usable, 200, 10, 7, 1).tolist() != few.tolist()
    assert draw(usable, 200, 10, 8, 0).tolist() != few.tolist()
    assert draw(usable, 200, 50, 7, 0).tolist() == usable.tolist()
    with pytest.raises(UsageError, match="51 labels cannot be drawn from 50 sentences"):
        draw(usable, 200, 51, 7, 0)


def test_choice_is_ordered_and_among_usable() -> None:
    usable = np.array([2, 3, 5, 7, 11])
    for count in (None, 9):
        assert seeded_choice(12, count, among=usable).tolist() == usable.tolist()
    three = seeded_choice(12, 3, among=usable).tolist()
    assert len(three) == 3
    assert three == sorted({*three} & {*usable.tolist()})


def test_removing_a_sentence_changes_at_most_one_choice() -> None:
    every = np.arange(60)
    whole, drawn = {*seeded_choice(60, 20, among=every).tolist()}, {*draw(every, 60, 20, 3, 1).tolist()}
    for left_out in (min(whole), min(drawn), min({*range(60)} - whole)):
        usable = np.delete(every, left_out)
        assert len(whole - {*seeded_choice(60, 20, among=usable).tolist()}) == (left_out in whole)
        assert len(drawn - {*draw(usable, 60, 20, 3, 1).tolist()}) == (left_out in drawn)

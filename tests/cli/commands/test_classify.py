"""`sritool classify`: accuracies by model and number of labels, from a labelled corpus or from files."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from sritool.analysis import classifiers as classification
from sritool.cli.commands.classify import checkpoints_and_files
from support.program import sritool
from support.tables import Run, json_rows, output, rows

CALM = ("heron", "lantern", "mason")  # subjects of the class calm; the others are busy
HEADER = (
    "run method classifier labels used draws accuracy se low high sd least most sentences of classes data".split()  # noqa: SIM905
)


@pytest.fixture(scope="module")
def polls(home: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The home folder with the labelled corpus polls, its files, and the runs polls-ae and polls-vae-anneal."""
    folder = tmp_path_factory.mktemp("polls") / "home"
    shutil.copytree(home, folder)
    lines = (folder / "mine.txt").read_text().splitlines()
    rows = [f"{'calm' if line.split()[1] in CALM else 'busy'}\t{line}" for line in lines]
    parts = {"train": rows[0::2], "valid": rows[1::4], "test": rows[3::4]}
    for name, part in parts.items():
        (folder / f"{name}.tsv").write_text("\n".join(part) + "\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        small = "--config small.toml --threads 1 --no-summary --epochs 1 -q"
        for command in (
            "preprocess train.tsv valid.tsv test.tsv --name polls",
            f"train polls --method ae {small}",
            f"train polls --method vae-anneal {small}",
        ):
            result = sritool(*command.split())
            assert result.exit_code == 0, result.stderr
    return folder


@pytest.fixture
def run(polls: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    folder = tmp_path / "here"
    shutil.copytree(polls, folder)
    monkeypatch.chdir(folder)
    monkeypatch.setattr(classification, "COSTS", {"linear": (1.0,)})  # choosing one takes most of the time
    return sritool


def test_accuracies_on_the_models_own_corpus(run: Run) -> None:
    found = rows(run("classify", "polls-ae", "--labels", "0,20", "--draws", 2, "-q"))
    assert list(found[0]) == HEADER
    assert [(row["run"], row["method"], row["labels"], row["draws"]) for row in found] == [
        ("majority class", "", "", "1"),
        ("bag of words", "", "20", "2"),
        ("polls-ae", "ae", "0", "2"),
        ("polls-ae", "ae", "20", "2"),
    ]
    assert {(row["sentences"], row["of"], row["classes"], row["data"]) for row in found} == {
        ("40", "40", "2", "polls test")
    }
    test = [line.split("\t")[0] for line in Path("test.tsv").read_text().splitlines()]
    majority = max(test.count("calm"), test.count("busy")) / 40
    assert float(found[0]["accuracy"]) == pytest.approx(majority)
    for row in found:
        assert 0 <= float(row["accuracy"]) <= 1
        assert float(row["low"]) <= float(row["accuracy"]) <= float(row["high"])
        assert (row["draws"] == "1") == (not row["sd"])
        if row["sd"]:
            assert float(row["least"]) <= float(row["accuracy"]) <= float(row["most"])


def test_files_give_the_same_as_their_corpus(run: Run) -> None:
    files = ("--train", "train.tsv", "--valid", "valid.tsv", "--test", "test.tsv")
    args = ("classify", "polls-ae", "--labels", "0,20", "--draws", 2, "-q")
    own, given = rows(run(*args)), rows(run(*args, *files))
    assert {row["data"] for row in given} == {"test.tsv"}
    assert [{**row, "data": ""} for row in given] == [{**row, "data": ""} for row in own]


def test_several_labelled_files_and_models(run: Run) -> None:
    lines = Path("train.tsv").read_text().splitlines()
    Path("few.tsv").write_text("\n".join(lines[::8][:10]) + "\n")
    Path("more.tsv").write_text("\n".join(lines[:30]) + "\n")
    models = ["polls-ae", "polls-vae-anneal"]
    command = ["classify", *models, "--labelled", "few.tsv", "more.tsv", "-q"]
    assert [(row["run"], row["labels"], row["draws"]) for row in rows(run(*command))[3:]] == [
        (name, labels, draws) for name in models for labels, draws in (("0", "5"), ("10", "1"), ("30", "1"))
    ]
    result = run(*command, "-f", "markdown")
    title, _, *lines = output(result).splitlines()
    assert title == "**Accuracy in % on polls test, 40 of 40 sentences, by number of labels**"
    table = [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines]
    assert table[0] == ["", "0", "10", "30"]
    assert [row[0] for row in table[2:]] == ["majority class", "bag of words", *models]
    assert table[3][1] == "–"  # a bag of words needs labels
    assert all(any("**" in row[column] for row in table[4:]) for column in (1, 2, 3))
    assert "over 5 draws (0: seeds)" in result.stderr


def test_printed_table_is_in_percent(run: Run) -> None:
    args = ("classify", "polls-ae", "--labelled", "train.tsv", "--no-zero", "-q")
    exact = rows(run(*args))[-1]
    table = output(run(*args, "-f", "table")).splitlines()
    assert table[0] == "Accuracy in % on polls test, 40 of 40 sentences, by number of labels"
    share, low, high = (100 * float(exact[name]) for name in ("accuracy", "low", "high"))
    (line,) = [line for line in table if line.startswith("polls-ae ")]
    assert line.split(maxsplit=1)[1].strip() == f"{share:.1f} ({low:.1f}–{high:.1f})"


def test_confusion_counts_match_the_accuracies(run: Run) -> None:
    args = ("classify", "polls-ae", "--labels", "0,20", "--draws", 2, "-q")
    accuracy = {row["labels"]: float(row["accuracy"]) for row in rows(run(*args))[2:]}
    confused = run(*args, "--confusion")
    assert "codes are ends of chains" in confused.stderr
    counts = rows(confused)
    assert list(counts[0]) == "run method classifier labels draws true predicted sentences".split()  # noqa: SIM905
    for labels in ("0", "20"):
        of = [row for row in counts if row["labels"] == labels]
        assert (len(of), sum(int(row["sentences"]) for row in of)) == (4, 2 * 40)
        right = sum(int(row["sentences"]) for row in of if row["true"] == row["predicted"])
        assert right / 80 == pytest.approx(accuracy[labels])
    drawn = output(run(*args, "--confusion", "-f", "table"))
    assert "polls-ae, 20 labels (linear svm), mean of 2 draws: true class down, predicted across" in drawn
    found = json_rows(run(*args, "--confusion", "-f", "json"))
    assert [str(row["sentences"]) for row in found] == [row["sentences"] for row in counts]


def test_left_out_sentences_are_reported(run: Run) -> None:
    test = Path("test.tsv").read_text().splitlines()
    with Path("valid.tsv").open("a") as file:
        file.write("\n".join(test[:3]) + "\n")
    args = ("classify", "polls-ae", "--valid", "valid.tsv", "--labels", "0", "-q")
    result = run(*args, "--limit", 30)
    for part in ("30 of 80 sentences of polls train", "30 of 43 sentences of valid.tsv", "--deduplicate"):
        assert part in result.stderr
    assert {row["sentences"] for row in rows(result)} == {"30"}
    again = run(*args, "--deduplicate").stderr
    assert "named by 40 of 43 sentences of valid.tsv" in again
    assert "3 of 43 sentences of valid.tsv recur in polls test, and are left out" in again


def test_chains_and_seed_affect_the_accuracies(run: Run) -> None:
    files = ("--train", "train.tsv", "--valid", "valid.tsv", "--test", "test.tsv")

    def accuracies(*args: object) -> list[str]:
        given = ("classify", "mine-sri", *files, "--labels", "0,40", "--draws", 2, "-q")
        return [row["accuracy"] for row in rows(run(*given, *args))[2:]]

    usual = accuracies()
    assert accuracies() == usual
    assert any(accuracies("--chains", chains) != usual for chains in (1, 2, 20))
    assert accuracies("--seed", 1) != usual or accuracies("--seed", 2) != usual


def test_files_are_told_from_checkpoints_by_their_ending() -> None:
    given = [Path(name) for name in ("a.pt", "b.parquet", "runs/c", "d.tsv.gz")]
    checkpoints, files = checkpoints_and_files(given, ["e.json"])
    assert checkpoints == [Path("a.pt"), Path("runs/c")]
    assert files == (Path("e.json"), Path("b.parquet"), Path("d.tsv.gz"))

"""Files of version 1 (tests/saved) stay readable; files of newer versions are refused or ignored."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import Result

from sritool.api import load
from sritool.data import store
from sritool.data.corpus_info import FORMAT_VERSION
from sritool.data.store import load_corpus
from sritool.evaluation import evaluations_on_record, posterior_codes
from sritool.evaluation.posterior_codes import CodeSettings, codes_of_text
from sritool.runs import checkpoint as checkpoints
from sritool.runs.checkpoint import load_checkpoint, save_checkpoint

Invoke = Callable[..., Result]

V1 = Path(__file__).parents[1] / "saved" / "v1"
FIGURES = json.loads((V1 / "figures.json").read_text(encoding="utf-8"))
CHECKPOINTS = sorted(V1.glob("runs/*/*.pt"))
RESUMABLE = [path for path in CHECKPOINTS if path.name == "last.pt"]
SENTENCES = ["the heron lifts a kettle", "a mason paints the lantern upstairs"]
# Other machines sum float32 in another order; a real change would be far larger.
NEAR = {"rtol": 1e-3, "atol": 1e-3}


def name_of(path: Path) -> str:
    return f"{path.parent.name}/{path.name}"


@pytest.fixture
def v1(tmp_path: Path) -> Path:
    """A copy of v1 in the test's own folder."""
    for part in ("data", "runs"):
        shutil.copytree(V1 / part, tmp_path / part)
    return tmp_path


def refused(result: Result, code: int, *words: str) -> None:
    """Check for one line with these words on stderr, and an empty stdout."""
    assert (result.exit_code, result.stdout) == (code, "")
    assert result.stderr.startswith("error: ")
    assert result.stderr.count("\n") == 1
    assert all(word in result.stderr for word in words), result.stderr


@pytest.mark.parametrize("path", CHECKPOINTS, ids=name_of)
def test_checkpoint_is_described(invoke: Invoke, path: Path) -> None:
    result = invoke("info", path, "--format", "json")
    assert result.exit_code == 0, result.stderr
    found = {row["field"]: row["value"] for row in map(json.loads, result.stdout.splitlines())}
    assert found["generator.hidden"] == 6
    assert (found["tokenizer"], found["corpus"]) in {("word", "words"), ("bpe", "pieces")}


@pytest.mark.parametrize("run", FIGURES["evaluate"])
def test_figures_are_unchanged(invoke: Invoke, v1: Path, run: str) -> None:
    names = ",".join(FIGURES["evaluate"][run])
    result = invoke("evaluate", f"runs/{run}", "--metrics", names, "--format", "json", "--threads", 1)
    assert result.exit_code == 0, result.stderr
    found = {row["metric"]: row["value"] for row in map(json.loads, result.stdout.splitlines())}
    for metric, value in FIGURES["evaluate"][run].items():
        np.testing.assert_allclose(found[metric], value, **NEAR, err_msg=metric)
    model = load(v1 / "runs" / run)
    np.testing.assert_allclose(model.log_likelihood(SENTENCES), FIGURES["score"][run], **NEAR)
    if run in FIGURES["codes"]:
        codes = codes_of_text(model, SENTENCES, CodeSettings(5))[:, 0]
        np.testing.assert_allclose(codes, FIGURES["codes"][run], **NEAR)
    assert len(model.sample(3, seed=1)) == 3


def test_commands_accept_an_old_run(invoke: Invoke, v1: Path) -> None:
    text = "\n".join(SENTENCES) + "\n"
    for run in ("words-sri", "pieces-vae-anneal"):
        codes = invoke("encode", f"runs/{run}", "--mean", stdin=text)
        assert codes.exit_code == 0, codes.stderr
        again = invoke("decode", f"runs/{run}", stdin=codes.stdout)
        assert len(again.stdout.splitlines()) == 2
        sampled = invoke("sample", f"runs/{run}", "-n", 4, "--max-length", 8)
        assert len(sampled.stdout.splitlines()) == 4


@pytest.mark.parametrize("path", RESUMABLE, ids=name_of)
def test_old_run_resumes(invoke: Invoke, v1: Path, path: Path) -> None:
    run = v1 / "runs" / path.parent.name
    before = load_checkpoint(run / "last.pt")
    result = invoke(
        *("train", "words", "--method", before.config.method, "--resume", run),
        *("--no-summary", "--threads", 1, "--quiet"),
    )
    assert result.exit_code == 0, result.stderr
    assert "going on" in result.stderr
    after = load_checkpoint(run / "last.pt")
    planned = before.config.training.epochs
    assert before.progress.epoch < planned
    assert (after.progress.epoch, after.progress.pretraining) == (planned, False)


@pytest.mark.parametrize("name", ["words", "pieces"])
def test_prepared_corpus_is_read(v1: Path, name: str) -> None:
    corpus = load_corpus(v1 / "data" / name)
    sizes = {split: len(corpus.split(split)) for split in corpus.info.splits}
    assert sizes == {"train": 46, "valid": 8, "test": 10}
    split = corpus.split("test")
    assert corpus.info.labels == ("inside", "outside")
    assert split.labels is not None
    first = corpus.tokenizer.decode(split.targets(0))
    assert first.split()[2] in ("lifts", "paints")
    assert int(split.words.sum()) == corpus.info.splits["test"].words + len(split)


@pytest.mark.parametrize("name", ["words", "pieces"])
def test_corpus_hash_is_unchanged(v1: Path, name: str) -> None:
    corpus = load_corpus(v1 / "data" / name)
    splits = {split: corpus.split(split) for split in corpus.info.splits}
    assert store.content_hash(corpus.tokenizer, splits, corpus.info.labels) == corpus.info.content_hash


@pytest.mark.parametrize("name", ["words", "pieces"])
def test_datasets_library_reads_a_prepared_corpus(v1: Path, name: str) -> None:
    import datasets

    found = datasets.load_from_disk(v1 / "data" / name)
    assert {split: len(rows) for split, rows in found.items()} == {"train": 46, "valid": 8, "test": 10}
    assert found["train"].features["label"].names == ["inside", "outside"]


def newer_checkpoint(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(checkpoints, "VERSION", checkpoints.VERSION + 1)
        save_checkpoint(load_from(V1 / "runs" / "words-sri" / "last.pt"), path)


def load_from(path: Path) -> Any:
    """Load a checkpoint of version 1, even if the current version is patched."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(checkpoints, "VERSION", 1)
        return load_checkpoint(path)


@pytest.mark.parametrize(
    "words",
    [
        "info runs/new",
        "evaluate runs/new",
        "sample runs/new",
        "train words --resume runs/new",
        "report runs/new",
    ],
)
def test_newer_checkpoint_is_refused(
    invoke: Invoke, v1: Path, monkeypatch: pytest.MonkeyPatch, words: str
) -> None:
    folder = v1 / "runs" / "new"
    folder.mkdir()
    newer_checkpoint(folder / "last.pt", monkeypatch)
    content = (folder / "last.pt").read_bytes()
    refused(invoke(*words.split()), 3, "runs/new/last.pt has checkpoint version 2", "upgrade sritool")
    assert (folder / "last.pt").read_bytes() == content


def newer_corpus(folder: Path) -> bytes:
    """Mark corpus.json as written by a newer version, and return its content."""
    info = json.loads((folder / "corpus.json").read_text(encoding="utf-8"))
    info |= {"format_version": FORMAT_VERSION + 1, "a field that there is not yet": [1]}
    (folder / "corpus.json").write_text(json.dumps(info), encoding="utf-8")
    return (folder / "corpus.json").read_bytes()


@pytest.mark.parametrize("words", ["train words", "evaluate runs/words-sri", "train words --dry-run"])
def test_newer_corpus_is_refused(invoke: Invoke, v1: Path, words: str) -> None:
    newer_corpus(v1 / "data" / "words")
    refused(invoke(*words.split()), 3, "data/words has format version 2", "upgrade sritool")


def test_newer_corpus_is_replaced_only_with_force(invoke: Invoke, v1: Path) -> None:
    content = newer_corpus(v1 / "data" / "words")
    (v1 / "mine.txt").write_text(
        "\n".join(f"line {number} of ours" for number in range(60)), encoding="utf-8"
    )
    command = ("preprocess", "mine.txt", "--name", "words")
    refused(invoke(*command), 2, "data/words holds a corpus", "another version", "--force")
    assert (v1 / "data" / "words" / "corpus.json").read_bytes() == content
    assert invoke(*command, "--force").exit_code == 0
    assert load_corpus(v1 / "data" / "words").info.format_version == FORMAT_VERSION


def test_evaluations_of_another_version_are_ignored(
    invoke: Invoke, v1: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = ("evaluate", "runs/words-lm", "--metrics", "nll", "--format", "json")
    record = v1 / "runs" / "words-lm" / "evaluations.jsonl"
    with monkeypatch.context() as patch:
        patch.setattr(evaluations_on_record, "VERSION", evaluations_on_record.VERSION + 1)
        first = invoke(*command)
    assert first.exit_code == 0, first.stderr
    (theirs,) = record.read_bytes().splitlines()
    second = invoke(*command)
    assert (second.exit_code, second.stdout) == (0, first.stdout)
    lines = record.read_bytes().splitlines()
    assert lines[0] == theirs
    assert len(lines) == 2, "figures of another version were used"
    assert invoke(*command).exit_code == 0
    assert record.read_bytes().splitlines() == lines


def test_codes_of_another_version_are_ignored(
    invoke: Invoke, v1: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = "\n".join(f"{line} {end}" for line in SENTENCES for end in ("a heron " * n for n in range(20)))
    folder = v1 / "runs" / "words-sri" / "latents"
    with monkeypatch.context() as patch:
        patch.setattr(posterior_codes, "VERSION", posterior_codes.VERSION + 1)
        first = invoke("encode", "runs/words-sri", stdin=text)
    (theirs,) = folder.glob("*.jsonl")
    content = theirs.read_bytes()
    second = invoke("encode", "runs/words-sri", stdin=text)
    assert (first.exit_code, second.stdout) == (0, first.stdout)
    assert len(list(folder.glob("*.jsonl"))) == 2
    assert theirs.read_bytes() == content

"""Every benchmark runs on a micro shape and prints one JSON document."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from typing import Any

import pytest
import torch

from benchmarks import child, equality
from benchmarks.__main__ import main
from benchmarks.floor import Floor
from benchmarks.preprocess import plain_loop, write_text
from benchmarks.shapes import PRESET_SHAPES, SHAPES, random_batch, random_split
from sritool.config.presets import PRESETS
from sritool.data.tokenizer import EOS, UNK

Run = Callable[..., tuple[int, Any]]
QUICK = {
    "chain": ("--shape", "micro", "--rounds", "1", "--steps", "2", "--no-memory"),
    "train": ("--shape", "micro", "--rounds", "1", "--steps", "2", "--no-memory"),
    "evaluate": ("--shape", "micro", "--rounds", "1", "--sentences", "3", "--authors-sentences", "1"),
    "sample": ("--shape", "micro", "--rounds", "1", "--sentences", "20", "--way", "greedy", "beam"),
    "preprocess": ("--rounds", "1", "--lines", "200", "--words", "6", "--vocabulary", "30"),
    "growth": ("--shape", "micro", "--rounds", "1", "--steps", "2"),
    "equality": ("--shape", "micro", "--steps", "4"),
    "schedules": (),
}
"""Quick forms of all benchmarks but `words`, which wants a trained run."""


@pytest.mark.parametrize("name", QUICK)
def test_one_document_with_the_machine(benchmark: Run, name: str) -> None:
    code, document = benchmark(name, *QUICK[name])
    assert code == 0
    assert document["benchmark"] == name
    assert document["machine"]["threads"] == torch.get_num_threads()
    assert document["machine"]["torch"] == torch.__version__
    assert {"cpu", "cores", "date", "capability"} <= document["machine"].keys()
    assert all(document["results"].values())


def test_sampling_counts_the_words_that_it_decodes(benchmark: Run) -> None:
    code, document = benchmark("sample", *QUICK["sample"])
    assert code == 0
    for record in document["results"]["times"]:
        assert record["words"] == 20 * SHAPES["micro"].length
        over, under = record["seconds"]["median"], record["floor seconds"]["median"]
        assert record["this / floor"]["median"] == pytest.approx(over / under)


def test_a_kind_of_step_is_held_against_its_plain_loops(benchmark: Run) -> None:
    _, document = benchmark("train", *QUICK["train"], "--kind", "preconditioned, all words", "lm")
    chain, lm = document["results"]["steps"]
    assert (chain["K"], lm["K"]) == (2, 0)
    for name in ("authors' loop", "strongest plain"):
        expected = chain["ms"][name]["median"] / chain["ms"]["ours"]["median"]
        assert chain[f"{name} / this"]["median"] == pytest.approx(expected)
    assert lm["authors' loop / this"] is None


def test_a_broken_bound_is_exit_code_1(benchmark: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(equality.BOUNDS, "bfloat16", 1e-6)
    code, document = benchmark("equality", *QUICK["equality"], "--scale", "0.2")
    assert code == 1
    assert document["failed"] is True


def test_equality_measures_each_step_in_each_precision(benchmark: Run) -> None:
    _, document = benchmark("equality", *QUICK["equality"])
    for record in document["results"]["comparisons"]:
        errors = record["errors by step"]
        assert all(len(errors[name]) == 4 for name in ("float32", "bfloat16", "float64"))
        assert max(errors["float64"]) < min(errors["float32"]) < min(errors["bfloat16"])
        assert record["moved"] > 0.1
    assert {record["padded"] for record in document["results"]["comparisons"]} == {False, True}


def test_memory_comes_from_a_process_of_its_own() -> None:
    reply = child.ask("train", "ours, preconditioned", SHAPES["micro"], "float32", 1, 2)
    assert reply is not None
    assert reply["peak MiB"] >= 0


def test_a_process_that_fails_leaves_a_gap_and_a_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    failed = subprocess.CompletedProcess([], 1, stdout="", stderr="Traceback\nMemoryError: no room")
    monkeypatch.setattr(subprocess, "run", lambda *words, **settings: failed)
    assert child.ask("train", "ours, authors", SHAPES["micro"], "float32", 1, 2) is None
    assert "MemoryError: no room" in capsys.readouterr().err


def test_an_unknown_shape_is_a_usage_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["chain", "--shape", "nonesuch"]) == 2
    assert "nonesuch" in capsys.readouterr().err


def test_every_preset_has_a_shape_with_its_sizes() -> None:
    assert tuple(PRESETS) == PRESET_SHAPES
    for name, values in PRESETS.items():
        shape, generator = SHAPES[name], values["generator"]
        assert (shape.embedding, shape.hidden) == (generator["embedding"], generator["hidden"])
        assert shape.batch == values.get("training", {}).get("batch_size", 32)


def test_random_sentences_have_the_shapes_length_or_are_padded() -> None:
    shape = SHAPES["micro"]
    split = random_split(shape, 50)
    assert set(split.lengths.tolist()) == {shape.length}
    assert all(split.targets(i)[-1] == EOS and split.targets(i)[:-1].min() >= UNK for i in range(50))
    assert split.ids.max() < shape.vocabulary
    padded = random_batch(shape, padded=True, sentences=50)
    assert 1 <= int(padded.lengths.min()) < int(padded.lengths.max()) == shape.length


def test_a_floor_counts_its_products(monkeypatch: pytest.MonkeyPatch) -> None:
    shape = SHAPES["micro"]
    floor = Floor(shape, "float32", torch.device("cpu"))
    calls: list[str] = []
    for name in ("output_forward", "output_backward", "recurrence_forward", "recurrence_backward"):
        monkeypatch.setattr(floor, name, lambda name=name: calls.append(name))
    floor.langevin_step()
    assert calls.count("output_forward") == calls.count("output_backward") == 1
    assert calls.count("recurrence_forward") == calls.count("recurrence_backward") == shape.length


def test_the_plain_loop_of_preprocessing_encodes_every_word(tmp_path: Any) -> None:
    path = tmp_path / "text.txt"
    words = write_text(path, lines=30, words=4, vocabulary=7)
    assert words == len(path.read_text(encoding="utf-8").split())
    encoded = plain_loop(path)
    assert len(encoded) == words + 30
    assert encoded.count(2) == 30

"""`sritool sample`: sentences from the prior, decoding options, metrics, and samples of a class."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import sritool
from sritool.analysis.samples import Figure, Figures, Row, distinct
from sritool.cli import render
from sritool.cli.commands.sample import figures_table
from sritool.cli.render import fits
from sritool.data.store import load_corpus
from sritool.model import decoding
from support.tables import Run, Terminal, json_rows, output


def sentences(run: Run, *args: object) -> list[str]:
    return output(run("sample", "mine-sri", *args)).split("\n")[:-1]  # without a header in a pipe


def test_same_seed_gives_the_same_sentences(run: Run) -> None:
    drawn = ["--temperature", 1.5]
    ten = sentences(run, *drawn, "--seed", 3)
    assert (len(ten), sentences(run, *drawn, "--seed", 3)) == (10, ten)
    assert sentences(run, *drawn, "--seed", 3, "-n", 4) == ten[:4]
    assert sentences(run, *drawn, "--seed", 4) != ten


def test_sentences_beyond_one_batch(run: Run) -> None:
    many = sentences(run, "--ancestral", "-n", 600, "--max-length", 4)
    assert (len(many), max(len(text.split()) for text in many)) == (600, 4)
    assert sentences(run, "--ancestral", "-n", 520, "--max-length", 4) == many[:520]


@pytest.mark.parametrize("form", ["plain", "csv", "json"])
@pytest.mark.parametrize("command", ["sample", "decode"])
def test_sentences_are_printed_in_parts(
    run: Run, monkeypatch: pytest.MonkeyPatch, command: str, form: str
) -> None:
    np.save("codes.npy", sritool.load("mine-sri").prior(10))
    given = {"sample": ["-n", 10], "decode": ["--codes", "codes.npy"]}[command]
    args = (command, "mine-sri", *given, "--ancestral", "--max-length", 4, "-f", form)
    whole = run(*args)
    monkeypatch.setattr(decoding, "_ROWS", 3)
    parts = run(*args)
    assert (parts.stdout, parts.stderr) == (whole.stdout, whole.stderr)
    sizes: list[int] = []
    monkeypatch.setattr(render, "write_lines", lambda lines: sizes.append(len([*lines])))
    run(*args)
    assert sizes == [3 + (form == "csv"), 3, 3, 1]


def test_greedy_is_the_default(run: Run) -> None:
    short = ["--max-length", 6]
    greedy = sentences(run, *short, "--greedy")
    for same in ([], ["--top-k", 1], ["--top-p", 1e-9], ["--beam", 1]):
        assert sentences(run, *short, *same) == greedy, same
    for other in (["--ancestral"], ["--top-k", 5], ["--top-p", 0.5], ["--beam", 30]):
        assert sentences(run, *short, *other) != greedy, other


def test_language_model_samples_words_by_default(run: Run) -> None:
    drawn = run("sample", "mine-lm", "-n", 8).stdout
    assert drawn == run("sample", "mine-lm", "-n", 8, "--ancestral").stdout
    assert len(set(drawn.split("\n"))) > 5
    greedy = run("sample", "mine-lm", "-n", 8, "--greedy")
    assert len(set(greedy.stdout.split("\n")[:-1])) == 1
    assert greedy.stderr.startswith("unique: 1 of 8")


def test_unique_count_is_on_stderr(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SRITOOL_FORMAT", "plain")
    result = run("sample", "mine-sri", "-n", 2, "--ancestral")
    assert len(result.stdout.splitlines()) == 2
    assert result.stderr.startswith("unique: 2 of 2")


def test_given_codes_are_decoded(run: Run) -> None:
    codes, short = sritool.load("mine-sri").prior(6, seed=2), ["--max-length", 8]
    np.save("codes.npy", codes)
    drawn = sentences(run, "-n", 6, "--seed", 2, *short)
    assert sentences(run, "--codes", "codes.npy", *short) == drawn
    lines = "\n".join("\t".join(map(str, code)) for code in codes[:3].tolist()) + "\n"
    piped = run("sample", "mine-sri", "--codes", "-", *short, stdin=lines)
    assert piped.stdout.splitlines() == drawn[:3]
    assert piped.stderr.startswith(f"unique: {len(set(drawn[:3]))} of 3")


def table(run: Run, *args: object, name: str = "mine-sri") -> list[dict[str, Any]]:
    return json_rows(run("sample", name, "--max-length", 8, "--ancestral", "--format", "json", "-q", *args))


def test_metrics_replace_the_sentences(run: Run) -> None:
    drawn = sentences(run, "--max-length", 8, "--ancestral", "-n", 30)
    pairs, unique = table(run, "--metrics", "distinct-2,unique", "-n", 30)[::-1]
    assert unique["value"] == len(set(drawn)) / 30
    assert pairs["value"] == distinct([text.split() for text in drawn], 2).value
    assert (pairs["metric"], pairs["n"], pairs["se"]) == ("distinct-2", 30, None)
    assert table(run, "--metrics", "unique")[0]["n"] == 1000
    given = ("-n", 5, "--ancestral", "--metrics", "unique,self-bleu", "--format", "table", "-q")
    shown = run("sample", "mine-sri", *given)
    title, columns, _, *lines = shown.stdout.splitlines()
    assert title == "5 samples of runs/mine-sri/best.pt"
    assert columns.split() == ["metric", "value", "±", "se", "how"]
    assert " ± " in lines[1]


def test_reference_adds_figures_of_real_sentences(run: Run) -> None:
    names = ["--metrics", "unique,nll", "--reference"]
    rows = table(run, *names, "-n", 12)
    assert [row["metric"] for row in rows] == ["unique", "nll", "nll-per-token"]
    assert rows[0]["real"] == 1.0
    assert all(row["real se"] > 0 for row in rows[1:])
    text = table(run, *names, "-n", 12, "--text", "other.txt")
    assert text[1]["value"] == rows[1]["value"]
    assert text[1]["real"] != rows[1]["real"]
    note = run("sample", "mine-sri", "-n", 3, "--metrics", "unique", "--reference", "-q").stderr
    assert note.startswith("real: mine test")


@pytest.mark.parametrize(("width", "columns"), [(80, 4), (60, 3)])
def test_figures_fit_a_narrow_terminal(width: int, columns: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    monkeypatch.setattr("sys.stdout", Terminal())
    how = "nats per token, </s> included, adaptive, M = 100"
    one, other = Figure(0.96901, 0.00123, 1000), Figure(31.1234, 0.2345, 1000)
    found = Figures([Row("nll-per-token", one, other, how), Row("unique", other, None, "all")], ["few"])
    table = figures_table(found, "1,000 samples", "mine test", "table")
    assert fits(table)
    assert list(table.columns) == ["metric", "value ± se", "real ± se", "how"][:columns]
    assert list(table.rows[0])[1:3] == ["0.9690 ± 0.0012", "31.12 ± 0.23"]
    assert table.rows[1][2] is None
    assert how in (table.note if columns == 3 else table.rows[0])
    assert table.note.startswith("real: mine test; few")
    exact = figures_table(found, "", "mine test", "tsv")
    assert list(exact.columns) == ["metric", "value", "se", "real", "real se", "n", "how"]
    assert list(exact.rows[0]) == ["nll-per-token", 0.96901, 0.00123, 31.1234, 0.2345, 1000, how]


def test_all_metrics_of_a_language_model(run: Run) -> None:
    rows = table(run, "--metrics", "all", "-n", 30, name="mine-lm")
    assert [row["metric"] for row in rows] == [
        "unique", "distinct-1", "distinct-2", "self-bleu", "nll", "nll-per-token", "reverse-ppl"
    ]  # fmt: skip
    assert "exact" in rows[4]["how"]
    counted = load_corpus(Path("data/mine")).split("test").predictions
    assert rows[6]["how"] == f"lm trained on them, of mine test, {counted} predictions (with </s>)"
    assert rows[6]["value"] > 1
    assert sorted(path.name for path in Path().iterdir() if path.is_dir()) == ["data", "runs"]
    assert sorted(path.name for path in Path("runs").iterdir()) == ["mine-lm", "mine-sri"]


@pytest.mark.parametrize("how", [["--ancestral"], ["--beam", 3]])
def test_cut_sentences_are_marked_and_counted(run: Run, how: list[object]) -> None:
    drawn = ["-n", 60, *how, "--max-length"]
    longest = json_rows(run("sample", "mine-sri", *drawn, 200, "--format", "json"))
    result = run("sample", "mine-sri", *drawn, 3, "--format", "json")
    found = json_rows(result)
    ended = [len(row["sample"].split()) < 3 for row in found]
    assert [row["ended"] for row in found] == ended
    if how == ["--ancestral"]:  # the same words are drawn up to the cut
        assert [len(row["sample"].split()) < 3 for row in longest] == ended
    assert f"{ended.count(False)} of 60 sentences are cut at --max-length" in result.stderr
    assert all(row["ended"] for row in longest if len(row["sample"].split()) < 200)


@pytest.mark.parametrize("command", ["sample", "decode", "interpolate"])
def test_every_decoding_command_counts_cut_sentences(run: Run, command: str) -> None:
    np.save("codes.npy", sritool.load("mine-sri").prior(9))
    given = {"sample": ["-n", 9], "decode": ["--codes", "codes.npy"], "interpolate": ["-n", 1, "--points", 9]}
    result = run(command, "mine-sri", *given[command], "--max-length", 1, "--ancestral", "--format", "csv")
    ended = [line.rpartition(",")[2] for line in result.stdout.splitlines()[1:]]
    assert f"{ended.count('false')} of 9 sentences are cut at --max-length" in result.stderr
    assert ended.count("false") > 0


@pytest.mark.parametrize("command", ["sample", "decode", "interpolate"])
def test_no_unk_bans_the_unknown_word(run: Run, command: str) -> None:
    np.save("codes.npy", sritool.load("mine-sri").prior(200))
    given = {"decode": ["--codes", "codes.npy"], "interpolate": ["-n", 20]}.get(command, ["-n", 200])
    drawn = [command, "mine-sri", *given, "--temperature", 3, "--format", "json"]
    assert "<unk>" in run(*drawn).stdout
    assert "<unk>" not in output(run(*drawn, "--no-unk"))


def test_class_samples_are_judged_by_two_classifiers(
    invoke: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    command = ["sample", "tiny-sri", "-n", 3, "--class", "positive"]
    rows = json_rows(invoke(*command, "--format", "json"))
    assert [set(row) for row in rows] == [{"sample", "ended", "class", "by codes", "by words"}] * 3
    assert {row["class"] for row in rows} == {"positive"}
    assert {row[name] for row in rows for name in ("by codes", "by words")} <= {"positive", "negative"}
    alone = invoke(*command)
    assert alone.stdout.splitlines() == [row["sample"] for row in rows]
    assert any(line.startswith("of 3 samples, taken for positive: ") for line in alone.stderr.splitlines())
    with_codes = invoke(*command, "--codes", "-", stdin="0\n")
    assert with_codes.exit_code == 2


@pytest.mark.parametrize(("model", "words"), [("tiny-sri", "negative, positive"), ("mine-sri", "no labels")])
def test_unknown_class_is_refused(model: str, words: str, run: Run) -> None:
    result = run("sample", model, "--class", "other")
    assert result.exit_code == 2
    assert words in result.stderr.splitlines()[-1]

"""`sritool interpolate`: lines of sentences with their marks, in tables and in pipes."""

from __future__ import annotations

import json
from pathlib import Path

import sritool
from support.tables import Run

ONE, OTHER = "a heron finds the kettle at noon", "the mason paints a lantern upstairs"


def rows(run: Run, *args: object, stdin: str | None = None) -> list[list[str]]:
    result = run("interpolate", "mine-sri", "--max-length", 8, *args, stdin=stdin)
    assert result.exit_code == 0, result.stderr
    lines = [line.split("\t") for line in result.stdout.split("\n")[:-1]]
    assert lines[0] == ["pair", "position", "sentence", "edits", "repeated"]
    return lines[1:]


def sentences(run: Run, *args: object, stdin: str | None = None) -> list[str]:
    return [row[2] for row in rows(run, *args, stdin=stdin)]


def test_a_checkpoint_is_all_it_takes(run: Run) -> None:
    found = rows(run)
    assert [row[:2] for row in found] == [[str(i), str(j)] for i in (1, 2, 3) for j in range(1, 8)]
    assert rows(run, "-n", 1) == found[:7]
    assert sentences(run, "--seed", 1) != [row[2] for row in found]
    model = sritool.load("mine-sri")
    from sritool.model.decoding import DecodingConfig

    assert [row[2] for row in found[:7]] == model.interpolate(config=DecodingConfig(max_length=8))


def test_marks_are_the_edits_from_the_sentence_before(run: Run) -> None:
    from sritool.analysis.interpolation import edits

    found = rows(run, "--points", 40, "-n", 1)  # close enough for some to be repeated
    assert [int(row[3]) for row in found[1:]] == edits([row[2] for row in found])
    assert [row[4] for row in found] == [
        "false",
        *("true" if row[3] == "0" else "false" for row in found[1:]),
    ]
    assert found[0][3] == ""
    assert {row[4] for row in found} == {"true", "false"}


def test_between_sentences_from_options_a_file_and_stdin(run: Run) -> None:
    both = sentences(run, "--between", ONE, OTHER, "--between", OTHER, ONE, "--points", 3, "--ancestral")
    assert len(both) == 6
    Path("pairs.txt").write_text(f"{ONE}\t{OTHER}\n{OTHER}\t{ONE}\n", encoding="utf-8")
    again = sentences(run, "--text", "pairs.txt", "--points", 3, "--ancestral")
    piped = sentences(
        run, "--text", "-", "--points", 3, "--ancestral", stdin=f"{ONE}\t{OTHER}\n{OTHER}\t{ONE}\n"
    )
    assert both == again == piped
    assert sentences(run, "-n", 2, "--points", 3, "--ancestral") != both


def test_a_sentence_may_begin_with_a_dash(run: Run) -> None:
    Path("pairs.txt").write_text(f"- {ONE}\t-- {OTHER}\n", encoding="utf-8")
    both = sentences(run, "--between", f"- {ONE}", f"-- {OTHER}", "--points", 3)
    assert both == sentences(run, "--text", "pairs.txt", "--points", 3)


def test_options_of_the_way_and_of_decoding_have_an_effect(run: Run) -> None:
    way = ["--between", ONE, OTHER, "--points", 150, "--ancestral"]
    plain = sentences(run, *way)
    assert len(plain) == 150
    assert sentences(run, *way, "--linear", "--chains", 5) == plain
    assert sentences(run, *way, "--chains", 1) != plain
    assert sentences(run, *way, "--spherical") != plain
    assert sentences(run, *way, "--top-k", 2) != plain
    greedy = sentences(run, *way[:-1])
    assert sentences(run, *way[:-1], "--beam", 1) == greedy
    assert sentences(run, *way[:-1], "--beam", 30) != greedy


def test_smoothness_is_said_below_and_quiet_tables_stay_data(run: Run) -> None:
    short = ["--max-length", 5]
    result = run("interpolate", "mine-sri", "--points", 4, *short)
    note = result.stderr
    assert note.startswith("edits between neighbours: ")
    assert "between two independent samples: " in note
    assert "distinct sentences of a line: " in note
    lines = run("interpolate", "mine-sri", "-n", 1, "--format", "json", *short).stdout.splitlines()
    first = json.loads(lines[0])
    assert first["pair"] == first["position"] == 1
    assert first["edits"] is None
    assert first["repeated"] is False


def test_a_table_a_pair_for_people(run: Run) -> None:
    args = ["--between", ONE, ONE, "--between", ONE, OTHER, "--points", 5]
    drawn = ["--format", "table", "--max-length", 5]
    shown = run("interpolate", "mine-sri", *args, *drawn).stdout
    assert f"Pair 1: {ONE} → {ONE}" in shown
    assert f"Pair 2: {ONE} → {OTHER}" in shown
    assert shown.count("edits between neighbours") == 1
    assert [line.split()[0] for line in shown.splitlines() if " % " in line and "edits" not in line] == [
        "0", "25", "50", "75", "100"
    ] * 2  # fmt: skip
    assert "Pair 1: draws of the prior" in run("interpolate", "mine-sri", *drawn).stdout


def test_unknown_words_are_said(run: Run) -> None:
    for args, stdin in (
        (["interpolate", "mine-sri", "--between", "the zeppelin", "the heron"], None),
        (["encode", "mine-sri"], "the zeppelin\nthe heron\n"),
        (["plot", "traversal", "mine-sri", "--sentence", "the zeppelin the heron", "--show-data"], None),
    ):
        result = run(*args, stdin=stdin)
        assert result.exit_code == 0
        assert "1 of 4 words are unknown to the model and read as <unk>: zeppelin" in result.stderr

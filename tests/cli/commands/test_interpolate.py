"""`sritool interpolate`: sentences between two codes with their edits, in pipes and for people."""

from __future__ import annotations

from pathlib import Path

import sritool
from sritool.analysis.interpolation import edits
from sritool.model.decoding import DecodingConfig
from support.tables import Run, json_rows, output

ONE, OTHER = "a heron finds the kettle at noon", "the mason paints a lantern upstairs"


def rows(run: Run, *args: object, stdin: str | None = None) -> list[list[str]]:
    """Return pair, position, sentence, edits, repeated and ended of each row."""
    text = output(run("interpolate", "mine-sri", "--max-length", 8, *args, stdin=stdin))
    header, *lines = [line.split("\t") for line in text.split("\n")[:-1]]
    assert header == ["pair", "position", "sentence", "edits", "repeated", "ended"]
    return lines


def sentences(run: Run, *args: object, stdin: str | None = None) -> list[str]:
    return [row[2] for row in rows(run, *args, stdin=stdin)]


def test_defaults_interpolate_draws_of_the_prior(run: Run) -> None:
    found = rows(run)
    assert [row[:2] for row in found] == [[str(i), str(j)] for i in (1, 2, 3) for j in range(1, 8)]
    assert rows(run, "-n", 1) == found[:7]
    assert sentences(run, "--seed", 1) != [row[2] for row in found]
    library = sritool.load("mine-sri").interpolate(config=DecodingConfig(max_length=8))
    assert [row[2] for row in found[:7]] == library


def test_edits_are_counted_from_the_previous_sentence(run: Run) -> None:
    first, *found = rows(run, "--points", 40, "-n", 1)  # close enough for some to be repeated
    assert first[3:5] == ["", "false"]
    assert [int(row[3]) for row in found] == edits([first[2], *(row[2] for row in found)])
    assert all((row[4] == "true") == (row[3] == "0") for row in found)
    assert "true" in {row[4] for row in found}


def test_sentence_pairs_from_options_file_and_stdin(run: Run) -> None:
    drawn = ["--points", 60, "--ancestral"]
    both = sentences(run, "--between", ONE, OTHER, "--between", OTHER, ONE, *drawn)
    assert len(both) == 120
    pairs = f"{ONE}\t{OTHER}\n{OTHER}\t{ONE}\n"
    Path("pairs.txt").write_text(pairs, encoding="utf-8")
    assert sentences(run, "--text", "pairs.txt", *drawn) == both
    assert sentences(run, "--text", "-", *drawn, stdin=pairs) == both
    assert sentences(run, "-n", 2, *drawn) != both


def test_sentence_may_start_with_a_dash(run: Run) -> None:
    Path("pairs.txt").write_text(f"- {ONE}\t-- {OTHER}\n", encoding="utf-8")
    both = sentences(run, "--between", f"- {ONE}", f"-- {OTHER}", "--points", 3)
    assert both == sentences(run, "--text", "pairs.txt", "--points", 3)


def test_path_and_decoding_options_have_an_effect(run: Run) -> None:
    means = ["--between", ONE, OTHER, "--points", 150]
    far = [*means, "--chains", 1]  # single draws are farther apart than means
    drawn, greedy = sentences(run, *far, "--ancestral"), sentences(run, *far)
    assert len(drawn) == 150
    assert sentences(run, *far, "--ancestral", "--linear") == drawn
    for other in (means, [*far, "--spherical"], [*far, "--top-k", 2]):
        assert sentences(run, *other, "--ancestral") != drawn, other
    assert sentences(run, *far, "--beam", 1) == greedy != sentences(run, *far, "--beam", 30)


def test_smoothness_is_reported_on_stderr(run: Run) -> None:
    result = run("interpolate", "mine-sri", "-n", 2, "--points", 4, "--max-length", 5, "--format", "json")
    for part in ("edits between neighbours: ", "two independent samples: ", "distinct sentences of a line: "):
        assert part in result.stderr
    first = json_rows(result)[0]
    assert (first["pair"], first["position"], first["edits"], first["repeated"]) == (1, 1, None, False)


def test_printed_tables_are_one_per_pair(run: Run) -> None:
    drawn = ["interpolate", "mine-sri", "--format", "table", "--max-length", 5]
    shown = run(*drawn, "--between", ONE, ONE, "--between", ONE, OTHER, "--points", 5).stdout
    assert f"Pair 1: {ONE} → {ONE}" in shown
    assert f"Pair 2: {ONE} → {OTHER}" in shown
    assert shown.count("edits between neighbours") == 1
    percent = [line.split()[0] for line in shown.splitlines() if " % " in line and "edits" not in line]
    assert percent == ["0", "25", "50", "75", "100"] * 2
    assert "Pair 1: draws of the prior" in run(*drawn).stdout


def test_unknown_words_are_reported(run: Run) -> None:
    for args, stdin in (
        (["interpolate", "mine-sri", "--between", "the zeppelin", "the heron"], None),
        (["encode", "mine-sri"], "the zeppelin\nthe heron\n"),
        (["plot", "traversal", "mine-sri", "--sentence", "the zeppelin the heron", "--show-data"], None),
    ):
        result = run(*args, stdin=stdin)
        assert result.exit_code == 0
        assert "1 of 4 words are unknown to the model and read as <unk>: zeppelin" in result.stderr

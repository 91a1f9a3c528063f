"""Tables in every format, on a terminal and in a pipe; Markdown against an independent parser."""

from __future__ import annotations

import csv
import html
import io
import json
import math
import re
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from sritool.cli.formats import Best, Table, exact, lines_of, native, readable
from sritool.cli.render import emit, emit_all, fits
from sritool.cli.tables.figures import difference_text, with_error
from support.tables import Terminal

Show = Callable[..., str]

MEASURES = Table(
    "Test split",
    ["method", "ppl", "nll", "kl", "collapsed"],
    [["sri", 101.23456789, 31.1, 4.5, False], ["lm", 98.0, float("nan"), None, True]],
    note="64 sentences",
)
SENTENCE = "the small dog\truns | [bold]fast[/bold]\nover 50% of_it \x1b[31m\\/ 日本語 😀"


@pytest.fixture
def on_terminal(monkeypatch: pytest.MonkeyPatch) -> Show:
    """Print a table on a terminal of a given width and return the output; NO_COLOR is set unless `colour`."""

    def show(table: Table, fmt: str = "auto", width: int = 80, colour: bool = False) -> str:
        with monkeypatch.context() as patch:
            stream = Terminal()
            patch.setattr("sys.stdout", stream)
            patch.setenv("COLUMNS", str(width))
            if not colour:
                patch.setenv("NO_COLOR", "1")
            emit(table, fmt)
        return stream.getvalue()

    return show


def plain(text: str) -> str:
    """Remove the codes for bold and dim, which NO_COLOR leaves in."""
    return re.sub(r"\x1b\[[0-9;]*m", "", text)


def text_of(table: Table, fmt: str) -> str:
    return "".join(lines_of(table, fmt))


def test_pipe_gets_tsv_with_the_note_on_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    emit(MEASURES)
    out, err = capsys.readouterr()
    assert out == "method\tppl\tnll\tkl\tcollapsed\nsri\t101.234568\t31.1\t4.5\tfalse\nlm\t98\tnan\t\ttrue\n"
    assert err == "64 sentences\nnan in nll: not defined for what was measured\n"


def test_terminal_gets_a_drawn_table_with_title_and_note(
    on_terminal: Show, capsys: pytest.CaptureFixture[str]
) -> None:
    shown = on_terminal(MEASURES).splitlines()
    assert "Test split" in shown[0]
    assert plain(shown[1]).split() == ["method", "ppl", "nll", "kl", "collapsed"]
    assert shown[3].split() == ["sri", "101.2", "31.10", "4.500", "no"]
    assert shown[4].split() == ["lm", "98.00", "undefined", "–", "yes"]
    assert "64 sentences" in shown[5]
    assert "undefined in nll: not defined for what was measured" in shown[6]
    assert capsys.readouterr() == ("", "")


def test_no_color_is_respected(on_terminal: Show, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sritool.cli.render.HEADER_STYLE", "bold red")
    assert "\x1b[1;31m" in on_terminal(MEASURES, colour=True)
    assert "31m" not in on_terminal(MEASURES)


def test_piped_table_has_no_escape_codes_or_wrapping(capsys: pytest.CaptureFixture[str]) -> None:
    long = "word " * 100
    emit(Table("Title", ["text", "n"], [[long + SENTENCE, 1]]), "table")
    out = capsys.readouterr().out
    assert "\x1b" not in out
    assert long in out
    assert "[bold]fast[/bold]" in out


@pytest.mark.parametrize("width", [1, 10, 20, 40])
def test_narrow_terminal_shows_every_cell(on_terminal: Show, width: int) -> None:
    shown = "".join(plain(on_terminal(MEASURES, width=width)).split())
    if width >= 20:  # below, it only must not fail
        assert all(word in shown for word in ("101.2", "31.10", "4.500", "collapsed", "98.00"))


def test_wide_characters_take_two_columns(on_terminal: Show) -> None:
    shown = on_terminal(Table("", ["text", "n"], [["日本語", 1], ["abcdef", 2]])).splitlines()
    assert shown[2].index("1") == shown[3].index("2") - 3


def test_terminal_never_receives_control_characters(on_terminal: Show) -> None:
    shown = on_terminal(Table("", ["text"], [["\x1b]0;title\x07 \x9b31m \r over"]]))
    assert "\x1b]0;" not in shown
    assert not {"\x07", "\x9b", "\r"} & set(shown)


def test_tsv_keeps_rows_on_one_line_and_backslashes() -> None:
    line = text_of(Table("", ["text", "n"], [[SENTENCE, 1]]), "tsv").split("\n", 1)[1]
    assert line == "the small dog\\truns | [bold]fast[/bold]\\nover 50% of_it \x1b[31m\\/ 日本語 😀\t1\n"


@given(st.lists(st.lists(st.text(), min_size=2, max_size=2), max_size=5))
def test_text_formats_keep_rows_and_columns(rows: list[list[str]]) -> None:
    table = Table("", ["a", "b"], rows)
    tsv = text_of(table, "tsv").split("\n")
    assert [line.count("\t") for line in tsv[:-1]] == [1] * (len(rows) + 1)
    assert [[*record.values()] for record in map(json.loads, text_of(table, "json").split("\n")[:-1])] == rows
    read = csv.reader(io.StringIO(text_of(table, "csv"), newline=""))
    assert [*read] == [["a", "b"], *rows]


def test_json_has_native_types() -> None:
    plain = [1, np.int64(2), 3.5, np.float32(0.5), None, np.bool_(True), "é", {"k": 1}]
    row = [*plain, math.nan, math.inf, [math.nan, 1]]
    text = text_of(Table("", [f"c{i}" for i in range(len(row))], [row]), "json")
    assert [*json.loads(text).values()] == [1, 2, 3.5, 0.5, None, True, "é", {"k": 1}, None, None, [None, 1]]
    assert "é" in text


@pytest.mark.parametrize("fmt", ["tsv", "plain", "csv", "json", "markdown", "latex", "table"])
def test_nonfinite_and_missing_values_in_every_format(fmt: str, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["nan", "inf", "-inf", ""]
    if fmt in ("markdown", "latex", "table"):
        words = ["undefined", "infinite", "-infinite", "--" if fmt == "latex" else "–"]
    emit(Table("", ["a", "b", "c", "d"], [[math.nan, np.float32(math.inf), -math.inf, None]]), fmt)
    out, err = capsys.readouterr()
    line = [line for line in out.splitlines() if line.strip()][{"table": 2, "latex": 4}.get(fmt, -1)]
    if fmt == "json":
        assert [*json.loads(line, parse_constant=pytest.fail).values()] == [None] * 4
        words = ["null"] * 2
    else:
        split = {"tsv": "\t", "plain": "\t", "csv": ",", "table": None}.get(fmt, "|&"[fmt == "latex"])
        assert [cell.strip() for cell in line.strip("| \\").split(split)] == words
    assert f"{words[0]} in a: not defined" in out + err
    assert f"{words[1]} in b" in out + err


def test_markdown() -> None:
    table = Table("", ["a|b", "n"], [["x|y\nz", 1.5], ["w", None]])
    assert text_of(table, "markdown") == "| a\\|b | n |\n| --- | ---: |\n| x\\|y z | 1.500 |\n| w | – |\n"


@given(st.text("ab1 |\\`*_~$<>&#;:!/[](){}\"'-+.=^–", max_size=12))
@example("<unk> a")
@example("*a* _b_ `c` &lt; \\* \\| [a](b) ~~c~~ <!-- d -->")
def test_markdown_shows_every_character(text: str) -> None:
    page = MarkdownIt("commonmark").enable(["table", "strikethrough"])
    title, cell = re.findall(
        r"<(?:strong|td)>(.*?)</(?:strong|td)>",
        page.render(text_of(Table(f"({text})", ["a"], [[text]]), "markdown")),
    )
    assert (html.unescape(title), html.unescape(cell)) == (f"({text})", text.strip())


@pytest.mark.parametrize(
    "text", ["step_size s_0", "x < 3 & y > 2", "−0.41 ± 0.13 *", "* 0.02", "it's 5% (6)"]
)
def test_markdown_escapes_only_where_needed(text: str) -> None:
    assert f"| {text} |" in text_of(Table("", ["a"], [[text]]), "markdown")


def test_latex_row_never_starts_with_star_or_bracket() -> None:
    rows = [[f"{mark} a", 1] for mark in ("", "*", "[1pt]", "[")]
    lines = text_of(Table("100 %", ["a", "n"], rows), "latex").splitlines()
    assert lines[0] == "% 100 %"
    assert not [line for line in lines if line.lstrip()[:1] in ("*", "[")]


def test_latex() -> None:
    table = Table("", ["a_b", "n"], [["5% & #1 $x {y} ~^ \\ <|>", -1.5], ["− ± ×", 2.0]])
    assert text_of(table, "latex").splitlines() == [
        r"\begin{tabular}{lr}",
        r"\toprule",
        r"a\_b & n \\",
        r"\midrule",
        r"5\% \& \#1 \$x \{y\} \textasciitilde{}\textasciicircum{} \textbackslash{}"
        r" \textless{}\textbar{}\textgreater{} & $-1.500$ \\",
        r"$-$ $\pm$ $\times$ & 2.000 \\",
        r"\bottomrule",
        r"\end{tabular}",
    ]


@pytest.mark.parametrize(
    ("cells", "shown"),
    [
        ([0.0, -0.0], "0"),
        ([1234567.8], "1234567.8"),
        ([12345678.0], "1.235e+07"),
        ([101.26], "101.3"),
        ([-4.5], "-4.500"),
        ([0.012345], "0.01235"),
        ([0.00012345], "0.000123"),
        ([1e-7], "1.000e-07"),
        ([np.float32(0.5)], "0.5000"),
        ([3, np.int64(3), "3"], "3"),
        ([True], "yes"),
    ],
)
def test_readable_cells(cells: list[object], shown: str) -> None:
    assert {readable(cell) for cell in cells} == {shown}


@pytest.mark.parametrize(
    ("value", "error", "shown"),
    [
        (78.123, 0.43, "78.12 ± 0.43"),
        (-0.0004, 0.031, "0.000 ± 0.031"),  # no minus sign before zero
        (-0.3, 12.0, "0 ± 12"),
        (-0.6, 12.0, "-1 ± 12"),
        (2.9576, math.nan, "2.958 ± undefined"),
        (math.inf, math.nan, "infinite"),
        (2.9576, 0.0, "2.958"),
        (3.5e92, 1.9e92, "3.500e+92 ± 1.900e+92"),
    ],
)
def test_value_with_error(value: float, error: float, shown: str) -> None:
    assert with_error(value, error) == shown


@pytest.mark.parametrize(
    ("value", "error", "clear", "shown"),
    [
        (0.5, 0.1, True, "+0.50 ± 0.10 *"),
        (-0.5, 0.4, False, "−0.50 ± 0.40"),
        (3e-5, 0.0, False, "+3.000e-05"),
        (-3e-5, 0.0, False, "−3.000e-05"),
        (0.0, 0.1, False, "0.00 ± 0.10"),
    ],
)
def test_difference(value: float, error: float, clear: bool, shown: str) -> None:
    assert difference_text(value, error, clear) == shown


@pytest.mark.parametrize("term", ["xterm", "dumb"])  # without bold, the best figure has a mark instead
def test_a_table_fits_if_nothing_is_cut(term: str, monkeypatch: pytest.MonkeyPatch) -> None:
    table = Table("", ["a", "b"], [[Best(1234.5), 12]])
    stream = Terminal()
    monkeypatch.setattr("sys.stdout", stream)
    monkeypatch.setenv("TERM", term)
    monkeypatch.setenv("COLUMNS", "80")
    emit(table, "table")
    needed = max(map(len, plain(stream.getvalue()).splitlines()))
    for width, enough in ((needed, True), (needed - 1, False)):
        monkeypatch.setenv("COLUMNS", str(width))
        assert fits(table) == enough


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_exact_keeps_nine_digits(value: float) -> None:
    assert float(exact(value)) == pytest.approx(value, rel=1e-8)
    assert native(value) == value


def test_several_tables(capsys: pytest.CaptureFixture[str]) -> None:
    tables = [Table("first", ["a"], [[1]]), Table("second", ["b"], [[2]])]
    emit_all(tables)
    assert capsys.readouterr().out == "a\n1\n\nb\n2\n"
    emit_all(tables, "json")
    assert capsys.readouterr().out == '{"table": "first", "a": 1}\n{"table": "second", "b": 2}\n'


def test_row_of_wrong_length_is_refused() -> None:
    with pytest.raises(ValueError, match="does not fit"):
        emit(Table("t", ["a", "b"], [[1]]), "tsv")


def test_words_wrap_at_the_edge(on_terminal: Show) -> None:
    words = "a dog runs over the green field while two children watch from the porch"
    shown = on_terminal(Table("", ["n", "text"], [[1, words]]), width=40).splitlines()
    assert len(shown) > 3
    assert [word for line in shown[2:] for word in line.split()] == ["1", *words.split()]

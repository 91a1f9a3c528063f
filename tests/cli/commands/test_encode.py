"""`sritool encode`: one row of codes per line, in every format, bit for bit as the library gives them."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from typer.testing import Result

import sritool.cli.commands.encode
from sritool.analysis.codes import read_codes
from sritool.api import load
from support.tables import Run, output

LINES = ["the otter finds the kettle at noon", "", "a mason", "the zebra sings at noon", "  ", "upstairs"]
TEXT = "\n".join(LINES) + "\n"


def codes_of(text: str) -> NDArray[np.float32]:
    header, *rows = text.splitlines()
    first = header.split("\t").index("z1")
    return np.array([[float(x) for x in row.split("\t")[first:]] for row in rows], dtype=np.float32)


def test_one_row_per_line_equal_to_the_library(run: Run) -> None:
    text = output(run("encode", "mine-sri", "-q", stdin=TEXT))
    assert text.splitlines()[0] == "z1\tz2\tz3\tz4"
    assert codes_of(text).shape == (6, 4)
    assert np.array_equal(codes_of(text), load(Path("runs/mine-sri")).encode(LINES))
    assert output(run("encode", "mine-sri", "-q", stdin=TEXT.replace("\n", "\r\n"))) == text
    assert output(run("encode", "mine-sri", "-q", stdin=TEXT.rstrip("\n"))) == text


def test_every_format_has_the_same_codes(run: Run) -> None:
    usual = codes_of(output(run("encode", "mine-sri", "-q", stdin=TEXT)))
    Path("lines.txt").write_text(TEXT)
    for name in ("codes.npy", "codes.jsonl", "codes.csv", "codes.tsv", "codes"):
        result = run("encode", "mine-sri", "-q", "--text", "lines.txt", "-o", name)
        told = "" if "." in name else ", as TSV"
        assert output(result) == ""
        assert result.stderr.startswith(f"wrote {name}: 6 codes of 4 dimensions{told}\n")
        assert "2 of 15 words are unknown to the model and read as <unk>: zebra, sings" in result.stderr
        assert np.array_equal(read_codes(name, 4), usual)
    for form in ("plain", "csv", "json", "npy"):
        result = run("encode", "mine-sri", "-q", "-f", form, stdin=TEXT)
        Path("piped").write_bytes(result.stdout_bytes)
        assert np.array_equal(read_codes("piped", 4), usual)
    for form, name, like in (("npy", "named", "codes.npy"), ("json", "named.txt", "codes.jsonl")):
        run("encode", "mine-sri", "-q", "-f", form, "-o", name, stdin=TEXT)
        assert Path(name).read_bytes() == Path(like).read_bytes()
    assert run("encode", "mine-sri", "-q", "-f", "plain", "-o", "named.tsv", stdin=TEXT).exit_code == 0


def test_file_ending_beats_the_default_format(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SRITOOL_FORMAT", "json")
    assert run("encode", "mine-sri", "-q", "-o", "codes.npy", stdin=TEXT).exit_code == 0
    assert np.load("codes.npy").shape == (len(LINES), 4)
    assert output(run("encode", "mine-sri", "-q", stdin=TEXT)).startswith("{")


def test_chains_are_rows_and_mean_averages_them(run: Run) -> None:
    def encoded(*args: object) -> Result:
        return run("encode", "mine-sri", "-q", "--seed", 5, *args, stdin=TEXT)

    text = output(encoded("--chains", 3))
    keys = [line.split("\t")[:2] for line in text.splitlines()]
    numbered = [[str(line), str(chain)] for line in range(1, 7) for chain in (1, 2, 3)]
    assert keys == [["line", "chain"], *numbered]
    every = codes_of(text).reshape(6, 3, 4)
    assert len({code.tobytes() for code in every.reshape(-1, 4)}) == 18
    assert codes_of(output(encoded("--chains", 3, "--mean"))) == pytest.approx(every.mean(1), abs=1e-6)
    array = encoded("--chains", 3, "-f", "npy").stdout_bytes
    assert np.array_equal(np.load(io.BytesIO(array), allow_pickle=False), every)
    assert codes_of(output(encoded())) == pytest.approx(every[:, 0], abs=1e-6)


def test_codes_depend_on_the_seed_not_on_the_batch_size(run: Run) -> None:
    def codes(*args: object) -> NDArray[np.float32]:
        return codes_of(output(run("encode", "mine-sri", "-q", "--chains", 2, *args, stdin=TEXT)))

    usual = codes()
    assert codes("--batch-size", 1) == pytest.approx(usual, abs=1e-4)
    assert codes("--batch-size", 4) == pytest.approx(usual, abs=1e-4)
    assert np.abs(codes("--seed", 1) - usual).max() > 0.1


def test_printed_table_shows_the_first_dimensions(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sritool.cli.commands.encode, "SHOWN", 2)
    result = run("encode", "mine-sri", "-q", "-f", "markdown", stdin=TEXT)
    lines = output(result).splitlines()[2:]
    assert lines[0] == "| z1 | z2 | ‖z‖ | sentence |"
    assert len(lines) == 8
    assert "the first 2 of 4 dimensions; all of them: --format tsv\n" in result.stderr
    code = load(Path("runs/mine-sri")).encode(LINES)[0]
    expected = [f"{code[0]:.2f}", f"{code[1]:.2f}", f"{np.linalg.norm(code):.2f}", LINES[0]]
    assert [cell.strip() for cell in lines[2].split("|")[1:-1]] == expected
    drawn = output(run("encode", "mine-sri", "-q", "-f", "table", "--chains", 2, stdin="a mason\n"))
    assert drawn.split()[:6] == ["Codes", "line", "chain", "z1", "z2", "‖z‖"]

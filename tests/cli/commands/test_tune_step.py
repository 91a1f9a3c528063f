"""`sritool tune-step`: a table in a pipe, options that matter, a checkpoint that can be evaluated, and a picture."""

from __future__ import annotations

import csv
import importlib.util
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import Result

from sritool.cli.tables.tune_step import steps_tables
from sritool.runs.checkpoint import load_checkpoint
from sritool.training.step_figures import Figure, Row, Tuned

Run = Callable[..., Result]

FEW = ["--limit", 3, "--chains", 8, "--grid", "0.02,0.2", "-q"]


def rows(result: Result) -> list[dict[str, str]]:
    """Rows of TSV on stdout, where nothing else may be."""
    assert result.exit_code == 0, result.stderr
    return list(csv.DictReader(io.StringIO(result.stdout), delimiter="\t"))


def chosen(result: Result) -> str:
    (step,) = (row["step"] for row in rows(result) if row["chosen"] == "true")
    return step


def test_a_pipe_reads_every_figure(run: Run) -> None:
    result = run("tune-step", *FEW)
    found = rows(result)
    assert [row["step"] for row in found] == ["0.02", "0.2", "checkpoint"]
    assert [(row["s_0"], row["s_K"]) for row in found] == [("0.02", "0.02"), ("0.2", "0.2"), ("0.32", "0.18")]
    assert [row["now"] for row in found] == ["false", "false", "true"]
    assert [row["chosen"] for row in found].count("true") == 1
    for row in found:
        assert all(row[name] for name in row)
        assert float(row["lower"]) == pytest.approx(-float(row["recon"]) - float(row["kl"]), abs=1e-3)
    assert result.stderr.splitlines()[0] == "tuning runs/mine-sri/best.pt"
    parsed = [json.loads(line) for line in run("tune-step", *FEW, "-f", "json").stdout.splitlines()]
    assert [row["upper"] for row in parsed] == pytest.approx([float(row["upper"]) for row in found], rel=1e-6)
    assert [row["chosen"] for row in parsed] == [row["chosen"] == "true" for row in found]


def test_shapes(run: Run) -> None:
    few = ["--limit", 2, "--chains", 6, "-q"]
    factors = rows(run("tune-step", *few, "--shape", "checkpoint", "--grid", "0.5,1"))
    assert [row["step"] for row in factors] == ["× 0.5", "× 1"]
    assert [float(row["s_0"]) for row in factors] == [0.16, 0.32]
    assert [row["now"] for row in factors] == ["false", "true"]
    pairs = rows(run("tune-step", *few, "--shape", "geometric", "--range", "0.01:0.04:2"))
    assert [row["step"] for row in pairs] == ["0.01 to 0.01", "0.04 to 0.01", "0.04 to 0.04", "checkpoint"]
    longer = rows(run("tune-step", *few, "--grid", "0.1", "--langevin-steps", 5))
    assert float(longer[1]["s_K"]) == pytest.approx(0.02)
    assert len(rows(run("tune-step", *few))) == 6


@pytest.mark.slow
def test_options_of_the_measurement_matter(run: Run) -> None:
    def upper(*args: object) -> str:
        return rows(run("tune-step", *FEW, *args))[0]["upper"]

    usual = upper()
    assert upper() == usual
    for changed in (
        ["--seed", 1],
        ["--limit", 4],
        ["--chains", 9],
        ["--temperature", 1],
        ["--split", "test"],
        ["--text", "mine.txt"],
        ["--langevin-steps", 2],
    ):
        assert upper(*changed) != usual, changed
    assert "by gradient" in rows(run("tune-step", *FEW, "--gradient-steps", 1))[-1]["step"]


def test_objective_decides(run: Run) -> None:
    """Given the noise the smaller of two steps is better, whatever z is worth."""
    wide = ["--limit", 3, "--chains", 30, "--grid", "0.0001,0.4", "-q"]
    assert chosen(run("tune-step", *wide, "--objective", "given-noise")) == "0.0001"
    few = run("tune-step", *wide, "--objective", "given-noise", "--chains", 3)
    assert chosen(few) == "0.0001"
    assert rows(few)[0]["upper"] == "nan"


def test_written_checkpoint_is_used_and_nothing_else_is_touched(run: Run) -> None:
    source = Path("runs/mine-sri/best.pt")
    before = source.read_bytes()
    result = run("tune-step", *FEW, "--write", "new.pt", "--temperature", 1)
    assert result.stderr.splitlines()[-2:] == [
        f"wrote new.pt with the step sizes of {chosen(result)}",
        "they were chosen at τ 1; new.pt is evaluated at τ 0.5 as before",
    ]
    assert source.read_bytes() == before
    sampler = load_checkpoint(Path("new.pt")).config.sampler
    assert sampler.schedule() == [float(chosen(result))] * 3
    assert sampler.name == "custom (tempered)"
    measured = [
        run("evaluate", path, "--metrics", "recon", "--samples", 4, "--pilots", 8, "-q")
        for path in ("new.pt", source)
    ]
    assert [one.exit_code for one in measured] == [0, 0]
    assert measured[0].stdout.splitlines()[1] != measured[1].stdout.splitlines()[1]
    again = rows(run("tune-step", "new.pt", "--limit", 2, "--chains", 6, "--grid", chosen(result), "-q"))
    assert [row["now"] for row in again] == ["true"]


def test_an_existing_file_is_kept_but_for_force(run: Run) -> None:
    Path("new.pt").write_text("mine")
    refused = run("tune-step", *FEW, "--write", "new.pt")
    assert (refused.exit_code, refused.stdout) == (2, "")
    assert refused.stderr == "error: new.pt exists; give another file, or --force to replace it\n"
    assert Path("new.pt").read_text() == "mine"
    assert run("tune-step", *FEW, "--write", "new.pt", "--force").exit_code == 0
    assert load_checkpoint(Path("new.pt")).config.method == "sri"


@pytest.mark.parametrize(
    ("args", "code", "part"),
    [
        (["mine-lm"], 2, "method lm has no chain whose steps could be tuned"),
        (["nowhere.pt"], 3, "no checkpoint nowhere.pt"),
        (["--grid", "a,b"], 2, "--grid 'a,b' cannot be read; write for example --grid 0.001,0.01,0.1"),
        (["--grid", "0,0.1"], 2, "give positive numbers"),
        (["--grid", ","], 2, "give positive numbers"),
        (["--range", "0.1:0.2"], 2, "--range '0.1:0.2' cannot be read"),
        (["--range", "0.2:0.1:3"], 2, "give 0 < LOW < HIGH and a COUNT of at least 2"),
        (["--range", "nan:0.1:3"], 2, "give 0 < LOW < HIGH"),
        (["--range", "0.1:0.2:3", "--grid", "1"], 2, "leave one out"),
        (["--shape", "round"], 2, "unknown shape 'round'"),
        (["--objective", "elbo"], 2, "unknown objective 'elbo'; give entropy or given-noise"),
        (["--chains", "4"], 2, "give --chains of at least 5"),
        (["--temperature", "-1"], 2, "give 0 or more"),
        (["--text", "-", "--split", "test"], 2, "leave it or --text out"),
        (["--split", "trane"], 2, "trane"),
        (["--write", "runs/mine-sri/best.pt", "--force"], 2, "is the checkpoint itself"),
        (["--write", "no/new.pt"], 2, "there is no folder no"),
        (["--plot", "curve.bmp"], 2, "end its name in .png, .svg or .pdf"),
        (["--plot", "no/curve.png"], 2, "in a folder that is there"),
        (["--grid", "1e30"], 4, "the chains of every schedule diverge"),
        (["--text", "empty.txt"], 3, "empty.txt"),
    ],
)
def test_what_cannot_be_done_is_one_line(run: Run, args: list[str], code: int, part: str) -> None:
    Path("empty.txt").touch()
    before = {str(path) for path in Path().rglob("*")}
    checkpoint = [] if args[0].endswith((".pt", "-lm")) else ["mine-sri"]
    result = run("tune-step", *checkpoint, *args, "-q", "--limit", 2)
    assert result.exit_code == code, result.stderr
    assert result.stdout == ""
    assert len(result.stderr.splitlines()) == 1
    assert part in result.stderr
    assert {str(path) for path in Path().rglob("*")} == before


def test_without_matplotlib_it_is_said_before_the_work(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *a: None if name == "matplotlib" else found(name, *a)
    )
    result = run("tune-step", "mine-sri", *FEW, "--plot", "curve.png")
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr == (
        "error: --plot needs matplotlib, which is not installed; do: pip install matplotlib\n"
    )


@pytest.mark.parametrize(
    ("name", "start", "args"),
    [
        ("curve.png", b"\x89PNG", []),
        ("curve.SVG", b"<?xml", ["--grid", "0.05"]),
        ("curve.pdf", b"%PDF", ["--shape", "geometric"]),
    ],
)
@pytest.mark.slow
def test_picture_in_the_format_of_its_ending(run: Run, name: str, start: bytes, args: list[object]) -> None:
    result = run("tune-step", "mine-sri", *FEW, *args, "--plot", name)
    assert result.exit_code == 0, result.stderr
    assert result.stderr.splitlines()[-1] == f"drew {name}"
    assert Path(name).read_bytes().startswith(start)


def test_picture_shows_folds_and_the_choice() -> None:
    from matplotlib.figure import Figure as Canvas

    from sritool.cli.plots.tune_step import draw_sides

    axes: Any = Canvas().subplots()
    tuned = made_up()
    draw_sides(axes, tuned.rows[:3], tuned)
    labels = axes.get_legend_handles_labels()[1]
    assert labels == [
        "upper: entropy of a Gaussian",
        "lower: entropy given the noise",
        "some steps fold",
        "chosen: 0.02",
    ]
    (shade,) = axes.patches
    low, high = shade.get_x(), shade.get_x() + shade.get_width()
    assert 0.02 < low < 0.2 < high
    assert axes.get_ylim()[0] > -200, "the lower side decides what can be seen"


def made_up() -> Tuned:
    """Three steps, the last of which folds, and a schedule to compare with whose chains diverged."""
    nan = float("nan")

    def row(label: str, step: float | None, value: float, folded: float) -> Row:
        pair = Figure(value, 0.5)
        lower = Figure(-900.0 if folded else value - 1, 0.5)
        values = None if step is None else (step,)
        gain = Figure(0.0, 0.0) if label == "0.02" else pair
        return Row(
            label, values, (step or 1.0,) * 2, pair, lower, gain, gain, pair, pair, folded, 0.0, 0.5,
            label == "0.02", step is None,
        )  # fmt: skip

    rows = [row("0.002", 0.002, -32.0, 0.0), row("0.02", 0.02, -30.0, 0.0), row("0.2", 0.2, -31.0, 0.1)]
    rows.append(row("checkpoint", None, nan, nan))
    return Tuned(rows, ("s",), "entropy", 1.0, 8, 200, ["a note"], 1.0)


def test_narrow_terminals_get_two_tables() -> None:
    (whole,) = steps_tables(made_up(), "title", "table", width=120)
    assert whole.note == "a note"
    cells = [[str(cell).strip() for cell in row] for row in whole.rows]
    assert cells[1][:3] == ["* 0.02", "-30.00", "0"]
    assert cells[3][1:3] == ["–", "–"]
    sides, chains = steps_tables(made_up(), "title", "table", width=80)
    assert [*sides.columns, *chains.columns[1:]] == list(whole.columns)
    assert [row[0] for row in chains.rows] == [row[0] for row in whole.rows]
    assert (sides.note, chains.note) == ("", "a note")
    assert len(steps_tables(made_up(), "title", "markdown")) == 1


def test_progress_goes_to_stderr_unless_quiet(run: Run) -> None:
    assert run("tune-step", "mine-sri", *FEW[:-1]).stderr.startswith("measuring  0/72 chains\n")
    notes = run("tune-step", "mine-sri", *FEW).stderr
    assert "chains" not in notes.replace("the chains", "")


def test_tuning_while_training(train_small: Run) -> None:
    result = train_small("--tune-step-every", 1, "--name", "tuned", "-q")
    assert result.exit_code == 0, result.stderr
    records = [json.loads(line) for line in Path("runs/tuned/metrics.jsonl").read_text().splitlines()]
    (tuning,) = (record for record in records if record["kind"] == "tune")
    assert load_checkpoint(Path("runs/tuned/last.pt")).config.sampler.schedule() == tuning["step_sizes"]
    refused = train_small("--method", "lm", "--tune-step-every", 1)
    assert (refused.exit_code, refused.stdout) == (2, "")
    assert "method lm has no chain to tune; leave --tune-step-every out" in refused.stderr
    assert train_small("--tune-step-every", -1).exit_code == 2

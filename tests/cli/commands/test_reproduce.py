"""`sritool reproduce`: every table from tiny runs, against `evaluate` and `compare`; slices and refusals."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from sritool.analysis.reproduction import states
from sritool.analysis.reproduction.tables import TABLES
from sritool.cli import plan_worker
from sritool.cli.child import Done
from sritool.cli.reproduction.page import BEGIN, END
from sritool.runs.checkpoint import load_checkpoint
from support.program import small_settings
from support.tables import Commands, Run, json_rows, output, rows

RECIPE = "small.recipe.toml"
SMALL = ("--recipe", RECIPE, "--threads", 1, "-q")
METHODS = {"table1": "lm,sri", "table4": "ae,sri", "table5": "ae,sri", "cost": "lm,vae-fb,sri"}


@pytest.fixture
def commands(run: Run, commands: Commands) -> Commands:
    """The fixture of tests/cli/conftest.py, with a labelled corpus `polls` prepared too."""
    lines = Path("mine.txt").read_text(encoding="utf-8").splitlines()
    labelled = [f"{'ab'[number % 2]}\t{line}\n" for number, line in enumerate(lines)]
    for name, part in {"train": labelled[:90], "valid": labelled[90:120], "test": labelled[120:]}.items():
        Path(f"{name}.tsv").write_text("".join(part), encoding="utf-8")
    output(run("preprocess", "train.tsv", "valid.tsv", "test.tsv", "--name", "polls"))
    return commands


def given(table: str, *more: object, methods: str = "") -> list[object]:
    """The command line for a table of small runs on polls."""
    methods = methods or METHODS.get(table, "")
    chosen = ["--methods", methods] if methods else []
    ablation = ["--steps", "2", "--temperatures", "0.3"] if table == "k-ablation" else []
    return ["reproduce", table, "--corpus", "polls", *chosen, *ablation, *SMALL, *more]


def document(table: str = "table1") -> dict[str, Any]:
    """The content of the JSON file that a table was written to."""
    found: dict[str, Any] = json.loads(document_path(table).read_text(encoding="utf-8"))
    return found


def document_path(table: str = "table1") -> Path:
    (path,) = Path("results/reproduction").glob(f"{table}-*.json")
    return path


@pytest.mark.parametrize("table", TABLES)
def test_every_table_is_complete_and_not_run_twice(run: Run, commands: Commands, table: str) -> None:
    first = rows(run(*given(table, "--limit", 24)))
    methods = METHODS.get(table, ",".join(TABLES[table].methods)).split(",")
    assert list(dict.fromkeys(row["method"] for row in first)) == methods
    assert {row["status"] for row in first} == {"done"}
    if table == "cost":
        assert all(row["training"]["parameters"] > 0 for row in document(table)["rows"])
    else:
        named = {row["metric"] for row in first}
        assert named & {*TABLES[table].columns}
        assert all(row["value"] for row in first)
    assert commands.given
    assert len(list(Path("results/reproduction").glob("*.png"))) == (table == "figure1")
    written = document(table)
    commands.given.clear()
    assert rows(run(*given(table, "--limit", 24))) == first
    assert (commands.given, document(table)) == ([], written)


def test_figures_and_differences_match_evaluate_and_compare(run: Run, commands: Commands) -> None:
    run(*given("table1"))
    found = document()["rows"]
    runs = [f"runs/{row['run']}" for row in found]
    metrics = "ppl,nll,recon"
    compared = json_rows(run("compare", *runs, "--metrics", metrics, "--threads", 1, "-q", "-f", "json"))
    for entry, other in zip(found, compared, strict=True):
        values = {figure["metric"]: figure["value"] for figure in entry["figures"]}
        assert [values[name] for name in metrics.split(",")] == [other[name] for name in metrics.split(",")]
    lm, sri = found
    by_metric = {one["metric"]: one["value"] for one in sri["differences"] if one["against"] == "lm"}
    ours = {figure["metric"]: figure["value"] for figure in sri["figures"]}
    theirs = {figure["metric"]: figure["value"] for figure in lm["figures"]}
    for name in ("nll", "recon"):
        assert by_metric[name] == pytest.approx(ours[name] - theirs[name], abs=1e-4)
    assert commands.names() == ["train", "evaluate"] * 2


def test_dry_run_lists_equivalent_commands(run: Run, commands: Commands) -> None:
    shown = json_rows(run(*given("table1", "--dry-run", "-f", "json")))
    assert commands.given == []
    assert not Path("results").exists()
    assert [(row["step"], row["state"]) for row in shown] == [("train", "to do"), ("evaluate", "to do")] * 2
    assert all(row["seconds"] > 0 for row in shown)
    for row in shown:
        output(run(*shlex.split(row["command"])[1:], "--threads", 1, "-q"))
    again = json_rows(run(*given("table1", "--dry-run", "-f", "json")))
    assert {(row["state"], row["seconds"]) for row in again} == {("done", 0)}
    assert {row["status"] for row in rows(run(*given("table1")))} == {"done"}
    assert commands.given == []


def test_no_run_shows_what_is_there(run: Run, commands: Commands) -> None:
    run(*given("table1", methods="lm"))
    commands.given.clear()
    found = rows(run(*given("table1", "--no-run")))
    assert commands.given == []
    assert {(row["method"], row["status"]) for row in found} == {("lm", "done"), ("sri", "not run")}
    (missing,) = (row for row in found if row["method"] == "sri")
    assert float(missing["estimated seconds left"]) > 0
    assert [words.split()[:2] for words in missing["commands"].split(" && ")] == [
        ["sritool", "train"],
        ["sritool", "evaluate"],
    ]
    shown = output(run(*given("table1", "--no-run", "-f", "markdown")))
    assert "not run" in shown
    assert re.search(r"about \d+ s", shown)


def test_plan_is_finished_in_slices(run: Run, commands: Commands) -> None:
    def stopped(words: Sequence[str]) -> Done | None:
        if words[0] == "evaluate":
            return Done(143, "", 1.0, False)
        if "--method" in words and "sri" in words and "--max-steps" not in words:
            output(run(*words, "--max-steps", 2))
            return Done(0, "", 1.0, True)
        return None

    commands.instead = lambda words: Done(143, "", 1.0, False)  # its training did not end by itself
    assert "time is up" in run(*given("table1", "--budget", "1h")).stderr
    assert (commands.names(), document()["rows"][0]["status"]) == (["train"], "not run")
    commands.given.clear()
    commands.instead = stopped
    assert "time is up" in run(*given("table1", "--budget", "1h")).stderr
    assert commands.names() == ["train", "evaluate"]
    assert document()["rows"][1]["status"] == "not run"
    commands.instead = lambda words: None if words[0] == "evaluate" else stopped(words)
    run(*given("table1", "--budget", "1h"))
    assert commands.names()[2:] == ["evaluate", "train"]
    assert "--max-time" in commands.given[-1]
    assert document()["rows"][1]["status"] != "done"
    assert document()["rows"][1]["epochs"] == [0, 1]
    commands.instead = lambda words: None
    found = rows(run(*given("table1")))
    assert commands.names()[4:] == ["train", "evaluate"]
    assert {row["status"] for row in found} == {"done"}
    trained = load_checkpoint(Path("runs", document()["rows"][1]["run"], "last.pt"))
    assert trained.progress.step == 6  # 90 sentences in batches of 16


def test_failed_command_does_not_end_the_plan(run: Run, commands: Commands) -> None:
    commands.instead = lambda words: Done(4, "", 0.1, True) if "lm" in words else None
    result = run(*given("table1"))
    assert result.exit_code == 4
    assert {row["method"]: row["status"] for row in document()["rows"]} == {"lm": "not run", "sri": "done"}
    assert result.stderr.strip().splitlines()[-1].count("exit code 4") == 1


def test_existing_runs_are_used(run: Run, commands: Commands) -> None:
    small = ("--recipe", RECIPE, "--threads", 1, "--no-summary", "-q")
    output(run("train", "polls", "--method", "lm", *small))  # as planned, under the planned name
    output(run("train", "polls", "--name", "elsewhere", "--epochs", 2, *small))
    found = rows(run(*given("table1", "--use", "sri=runs/elsewhere")))
    assert commands.names() == ["evaluate"] * 2
    assert {row["run"] for row in found} == {"polls-lm", "elsewhere"}
    lm, sri = document()["rows"]
    assert lm["not as planned"] == []
    assert sri["not as planned"] == ["training.epochs 2, planned 1"]
    assert "elsewhere" not in document()["command"]
    shown = output(run(*given("table1", "--use", "sri=runs/elsewhere", "--dry-run")))
    assert "elsewhere" in shown
    run(*given("table1", "--no-run", methods="lm"))
    assert document()["rows"][1] == sri
    # Beside rows of other seeds, a run is used for the seed that was asked for.
    run(*given("table1", "--seeds", 1, methods="lm"))
    other = given("table1", "--use", "sri=runs/elsewhere", "--no-run", methods="sri")
    assert {(row["method"], row["seed"]) for row in rows(run(*other))} == {
        ("lm", "0"),
        ("lm", "1"),
        ("sri", "0"),
    }


def test_generator_that_ignores_z_is_noted(
    run: Run, commands: Commands, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(states, "has_collapsed", lambda checkpoint: checkpoint.config.method == "ae")
    run(*given("table2", methods="ae,sri"))
    ae, sri = document("table2")["rows"]
    assert "the generator ignored z when it was last validated" in ae["notes"]
    assert not any("ignored z" in note for note in sri["notes"])


def test_rows_of_other_methods_are_kept(run: Run, commands: Commands) -> None:
    lm = given("table1", methods="lm")
    run(*lm)
    run(*given("table1", methods="sri"))
    assert [row["method"] for row in document()["rows"]] == ["lm", "sri"]
    assert {one["against"] for one in document()["rows"][1]["differences"]} == {"lm"}
    assert "--methods sri,lm" in document()["command"]
    run(*given("table1", "--seeds", "1", methods="lm"))
    first, second = document()["command"].splitlines()
    assert "--methods lm --seeds 0,1" in first
    assert "--methods sri --recipe" in second
    assert "(seed 0)" in output(run(*given("table1", "--no-run", "-f", "markdown", methods="lm")))
    before = document()["rows"][1]
    shutil.rmtree(Path("runs", before["run"]))
    run(*lm)
    assert document()["rows"][1] == before


def test_rows_of_deleted_runs_are_compared_with_new_ones(run: Run, commands: Commands) -> None:
    """Its sentences are compared with those of a method that is trained later."""
    run(*given("table1", methods="lm,sri"))
    _, sri = document()["rows"]
    shutil.rmtree(Path("runs", sri["run"]))
    run(*given("table1", methods="vae-anneal"))
    _, vae, kept = document()["rows"]
    values = [{one["metric"]: one["value"] for one in row["figures"]} for row in (vae, kept)]
    (nll,) = (one["value"] for one in vae["differences"] if (one["metric"], one["against"]) == ("nll", "sri"))
    assert nll == pytest.approx(values[0]["nll"] - values[1]["nll"], abs=1e-4)
    assert kept == sri


def test_differences_of_an_older_document_are_kept(run: Run, commands: Commands) -> None:
    """Its rows hold differences without the terms of each sentence."""
    run(*given("table1", "--seeds", "0,1", methods="lm,sri"))
    before = document()
    for row in before["rows"]:
        del row["terms"]
        shutil.rmtree(Path("runs", row["run"]))
    document_path().write_text(json.dumps(before), encoding="utf-8")
    run(*given("table1", "--no-run", methods="lm"))
    assert document()["differences over seeds"] == before["differences over seeds"] != []
    assert document()["rows"] == before["rows"]


def test_rows_of_deleted_runs_with_other_settings_are_marked(run: Run, commands: Commands) -> None:
    run(*given("table1", methods="lm,sri"))
    before = document()
    for row in before["rows"]:
        shutil.rmtree(Path("runs", row["run"]))
    before["rows"][1]["settings"] = "0123456789ab"
    document_path().write_text(json.dumps(before), encoding="utf-8")
    result = run(*given("table1", "--no-run", "-f", "markdown", methods="lm"))
    assert "SRI: not as planned: its settings (0123456789ab)" in result.stderr
    assert document()["rows"][0] == before["rows"][0]


def test_seeds_are_summarised(run: Run, commands: Commands) -> None:
    run(*given("table1", "--seeds", "0,1", methods="lm,sri"))
    found = document()
    assert [row["seed"] for row in found["rows"]] == [0, 1, 0, 1]
    values = [row["figures"][0]["value"] for row in found["rows"][:2]]
    (ppl,) = (one for one in found["seeds"] if (one["method"], one["metric"]) == ("lm", "ppl"))
    assert (ppl["least"], ppl["most"], ppl["seeds"]) == (min(values), max(values), 2)
    assert ppl["mean"] == pytest.approx(sum(values) / 2)
    apart = [
        one["value"] for row in found["rows"][2:] for one in row["differences"] if one["metric"] == "nll"
    ]
    (nll,) = (one for one in found["differences over seeds"] if one["metric"] == "nll")
    assert (nll["method"], nll["against"], nll["seeds"]) == ("sri", "lm", 2)
    assert nll["mean"] == pytest.approx(sum(apart) / 2, abs=1e-6)
    assert (nll["least"], nll["most"]) == pytest.approx((min(apart), max(apart)))


def test_own_estimator_is_shown_beside_the_common_one(run: Run, commands: Commands) -> None:
    command = given("table1", "--estimator", "own", "--limit", 6, methods="lm,vae-anneal,sri")
    run(*command)
    own = {
        row["method"]: {f["estimator"] for f in row["figures"] if f["own"] and f["metric"] == "ppl"}
        for row in document()["rows"]
    }
    shown = output(run(*command, "-f", "markdown"))
    assert all(f"{name}, own estimator" in shown for name in ("ppl", "nll", "au"))
    assert own == {"lm": set(), "vae-anneal": {"encoder"}, "sri": {"sri"}}


def test_page_is_made_from_the_results(run: Run, commands: Commands) -> None:
    Path("page.md").write_bytes(f"before\r\n{BEGIN}\r\nold\r\n{END}\r\nafter\r\n".encode())
    assert run("reproduce", "page").exit_code == 3
    run(*given("table1"))
    page = output(run("reproduce", "page"))
    assert all(name in page for name in (*TABLES, "LSTM-LM", "sritool reproduce table1 --corpus polls"))
    contents, _, _ = page.partition("###")
    (anchor,) = re.findall(r"\(#([\w-]+)\)", contents)
    assert re.fullmatch(
        "table1-likelihood-and-use-of-z-on-the-test-split-polls-smallrecipe-[0-9a-f]{6}", anchor
    )
    done, planned, others = contents.partition("; not planned: ")
    assert "LSTM-LM" in done
    assert "not done" not in contents
    assert planned
    assert "SA-VAE" in others
    assert output(run("reproduce", "page", "--write", "page.md")) == ""
    assert Path("page.md").read_bytes().decode() == f"before\r\n{BEGIN}\n\n{page}{END}\r\nafter\r\n"
    assert output(run("reproduce", "page", "--write", "new.md")) == ""
    assert Path("new.md").read_text(encoding="utf-8") == f"{BEGIN}\n\n{page}{END}\n"
    (path,) = Path("results/reproduction").glob("*.json")
    path.write_text("{}", encoding="utf-8")
    assert run("reproduce", "page").exit_code == 3


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (("table9",), 2, "table"),
        (("table1", "--methods", "lm,srj"), 2, "sri"),
        (("table1", "--corpus", "nowhere"), 2, "preprocess"),
        (("table1", "--recipe", "none"), 2, "ours"),
        (("table1", "--seeds", "x"), 2, "--seeds"),
        (("table1", "--steps", "2"), 2, "k-ablation"),
        (("k-ablation", "--temperatures", "hot"), 2, "--temperatures"),
        (("k-ablation", "--methods", "lm"), 2, "chain"),
        (("table1", "--estimator", "ais"), 2, "own"),
        (("table1", "--use", "sri"), 2, "NAME=RUN"),
        (("table1", "--corpus", "polls", "--use", "sru=runs/x"), 2, "sri"),
        (("table1", "--corpus", "polls", "--no-run", "--use", "sri=runs/none"), 2, "folder"),
        (("table1", "--corpus", "polls", "--no-run", "--use", "sri=runs/mine-lm"), 2, "method lm"),
        (("table1", "--corpus", "polls", "--no-run", "--use", "sri=runs/mine-sri"), 2, "corpus mine"),
        (("table1", "--set", "nothing"), 2, "key=value"),
        (("table1", "--budget", "soon"), 2, "9m"),
        (("table5", "--corpus", "mine"), 3, "labels"),
        (("table1", "--corpus", "polls", "--no-run", "--out", "mine.txt"), 1, "--out"),
        (("table1", "--write", "page.md"), 2, "page"),
        (("page", "--corpus", "polls"), 2, "leave --corpus out"),
        (("page", "--no-run"), 2, "leave --no-run out"),
        (("page", "--budget", "1m"), 2, "leave --budget out"),
        (("page", "-f", "json"), 2, "leave --format out"),
        (("table1", "--no-run", "--unfinished"), 2, "leave it or --unfinished out"),
        (("table1", "--no-run", "--budget", "1m"), 2, "leave it or --budget out"),
        (("page", "--out", "nowhere"), 3, "--no-run"),
    ],
)
def test_refused_options(
    run: Run, commands: Commands, words: tuple[str, ...], code: int, message: str
) -> None:
    result = run("reproduce", *words, *(("--threads", 1) if words[0] != "page" else ()))
    assert (result.exit_code, result.stdout, commands.given) == (code, "", [])
    assert message in result.stderr
    assert "Traceback" not in result.stderr


def test_run_held_by_another_process_is_skipped(run: Run, commands: Commands) -> None:
    from sritool.runs.folder import hold

    name = rows(run(*given("table1", "--no-run")))[0]["run"]
    Path("runs", name).mkdir()
    with hold(Path("runs", name)):
        result = run(*[word for word in given("table1") if word != "-q"])
        assert result.exit_code == 0, result.stderr
        assert "another process" in result.stderr
        assert [row["status"] for row in document()["rows"]] == ["unfinished", "done"]


def test_no_command_starts_with_too_little_time(run: Run, commands: Commands) -> None:
    found = rows(run(*given("table1", "--budget", f"{plan_worker.LEAST - 1:g}s")))
    assert commands.given == []
    assert all(row["status"] == "not run" and float(row["estimated seconds left"]) > 0 for row in found)


@pytest.mark.slow
def test_signal_saves_and_the_same_command_resumes(run: Run, start_program: Any) -> None:
    Path(RECIPE).write_text(small_settings(epochs=200).replace("[", "[all."), encoding="utf-8")
    words = f"reproduce table1 --corpus mine --methods lm --recipe {RECIPE} --threads 1".split()
    process = start_program("-m", "sritool", *words)
    for line in process.stderr:
        if line.startswith("epoch 2/200"):
            process.send_signal(signal.SIGTERM)
            break
    _, stderr = process.communicate(timeout=120)
    assert process.returncode == 143, stderr
    (folder,) = (path for path in Path("runs").iterdir() if RECIPE.partition(".")[0] in path.name)
    done = load_checkpoint(folder / "last.pt").progress.epoch
    assert 0 < done < 200
    (written,) = Path("results/reproduction").glob("*.json")
    assert json.loads(written.read_text(encoding="utf-8"))["rows"][0]["epochs"] == [done, 200]
    state = json_rows(run(*words, "--dry-run", "-f", "json"))[0]["state"]
    assert state == f"{done} of 200 epochs"


@pytest.mark.slow
def test_table1_of_tiny_as_in_the_readme(run_program: Any) -> None:
    words = ("reproduce", "table1", "--corpus", "tiny", "--methods", "lm,sri", "--threads", 1)
    few = ("--set", "training.epochs=1", "--set", "training.sentences=600", "--limit", 24)
    done = run_program("-m", "sritool", *words, *few, "-f", "json")
    assert done.returncode == 0, done.stderr
    found = [json.loads(line) for line in done.stdout.splitlines()]
    assert {row["method"] for row in found} == {"lm", "sri"}
    assert {row["status"] for row in found} == {"done"}

"""The program as a whole: help, errors and exit codes, environment variables, pipes, shell completion."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any

import pytest
import typer

import sritool
from sritool import errors
from sritool.cli import app as application
from sritool.cli.formats import Table
from sritool.cli.options.files import FormatOpt
from sritool.cli.options.measurement import SeedOpt
from sritool.cli.options.values import duration
from sritool.cli.render import emit
from support.tables import Run

RunProgram = Callable[..., subprocess.CompletedProcess[str]]

HEAVY = (
    *("torch", "datasets", "numpy", "sklearn", "scipy", "sentencepiece", "pyarrow", "pandas", "matplotlib"),
    *("plotly", "sacrebleu", "jinja2", "filelock"),
)

FLOOD = """
    import sys, types
    from sritool.cli import app
    from sritool.cli.formats import Table
    from sritool.cli.render import emit
    from sritool.cli.streams import say

    def flood(rows: int = 10, fmt: str = "auto", talk: int = 0) -> None:
        for _ in range(talk):
            say("talk")
        emit(Table("", ["row"], [[i] for i in range(rows)]), fmt)

    module = types.ModuleType("sritool.cli.commands.flood")
    module.flood = flood
    sys.modules[module.__name__] = module
    app.COMMANDS["flood"] = "Testing"
    app.main()
"""


def fail(
    how: Annotated[str, typer.Argument()] = "succeed",
    seed: SeedOpt = 0,
    max_time: Annotated[float | None, typer.Option(parser=duration, envvar="SRITOOL_MAX_TIME")] = None,
    threads: Annotated[int | None, typer.Option(min=1)] = None,
    fmt: FormatOpt = "auto",
) -> None:
    """Fail in the given way.

    A longer description with [batch] in brackets.
    """
    if how == "bug":
        raise RuntimeError("first line\nsecond line")
    if how == "ctrl-c":
        raise KeyboardInterrupt
    if how == "sigterm":
        raise errors.Interrupted(signal.SIGTERM, "stopped by SIGTERM; go on with: sritool fail --resume")
    if how == "file":
        Path("no-such-file").read_text(encoding="utf-8")
    if how == "pipe":
        raise BrokenPipeError(32, "Broken pipe")
    if how == "exit":
        raise typer.Exit(5)
    if how != "succeed":
        raise getattr(errors, how)("it went\nwrong; do this")
    emit(Table("", ["seed", "max_time", "threads"], [[seed, max_time, threads]]), fmt)


@pytest.fixture(autouse=True)
def _fail_command(monkeypatch: pytest.MonkeyPatch) -> None:
    module = types.ModuleType("sritool.cli.commands.fail")
    module.fail = fail
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setitem(application.COMMANDS, "fail", "Testing")


@pytest.fixture
def flood(tmp_path: Path) -> Path:
    program = tmp_path / "flood.py"
    program.write_text(textwrap.dedent(FLOOD), encoding="utf-8")
    return program


def test_help_imports_nothing_heavy(run_program: RunProgram) -> None:
    program = f"""
import sys
from sritool.cli.app import COMMANDS, app
for args in (["--help"], *([name, "--help"] for name in COMMANDS)):
    code = app(args, prog_name="sritool", standalone_mode=False)
    assert code == 0, args
    assert not [name for name in {HEAVY} if name in sys.modules], args
"""
    done = run_program("-c", program)
    assert done.returncode == 0, done.stderr
    assert "Usage: sritool [OPTIONS] COMMAND" in done.stdout


def test_every_command_is_summarised_in_the_help(invoke: Run) -> None:
    shown = invoke("--help").stdout
    for name in application.COMMANDS:
        summary = application.CommandGroup.build(name).get_short_help_str(200)
        assert summary, name
        assert " ".join(summary.split()[:3]) in shown, name


def test_module_runs_as_the_program(run_program: RunProgram) -> None:
    done = run_program("-m", "sritool", "--version")
    assert (done.returncode, done.stdout, done.stderr) == (0, f"sritool {sritool.__version__}\n", "")


def test_no_arguments_shows_the_help(invoke: Run) -> None:
    assert (invoke().exit_code, invoke().stdout) == (0, invoke("--help").stdout)


def test_brackets_in_help_are_not_markup(invoke: Run) -> None:
    assert "[batch] in brackets" in invoke("fail", "-h").stdout


@pytest.mark.parametrize(
    ("how", "code", "line"),
    [
        ("UsageError", 2, "error: it went wrong; do this"),
        ("DataError", 3, "error: it went wrong; do this"),
        ("CheckpointError", 3, "error: it went wrong; do this"),
        ("NumericalError", 4, "error: it went wrong; do this"),
        ("ShapeError", 1, "error: it went wrong; do this"),
        ("SritoolError", 1, "error: it went wrong; do this"),
        ("sigterm", 143, "stopped by SIGTERM; go on with: sritool fail --resume"),
        ("ctrl-c", 130, "stopped by Ctrl-C"),
        ("file", 1, "error: No such file or directory: no-such-file; "),
        ("pipe", 1, "error: Broken pipe; to see where, run again as: sritool --debug"),
        (
            "bug",
            1,
            "error: RuntimeError: first line second line (to see where, run again as: sritool --debug",
        ),
    ],
)
def test_error_is_one_line_with_exit_code(invoke: Run, how: str, code: int, line: str) -> None:
    result = invoke("fail", how)
    assert (result.exit_code, result.stdout, result.stderr.count("\n")) == (code, "", 1)
    assert result.stderr.startswith(line)


@pytest.mark.parametrize("source", ["flag", "variable"])
def test_debug_shows_the_traceback(invoke: Run, monkeypatch: pytest.MonkeyPatch, source: str) -> None:
    if source == "variable":
        monkeypatch.setenv("SRITOOL_DEBUG", "1")
    result = invoke(*(["--debug"] if source == "flag" else []), "fail", "bug")
    assert result.exit_code == 1
    assert "Traceback" in result.stderr
    assert 'raise RuntimeError("first line' in result.stderr
    assert result.stderr.endswith("error: RuntimeError: first line second line\n")


@pytest.mark.parametrize(
    ("args", "words"),
    [
        ("fial", ["no command 'fial'", "did you mean fail?", "(see: sritool --help)"]),
        ("--versoin", ["no option --versoin", "did you mean --version?"]),
        ("fail --sead 1", ["no option --sead", "did you mean --seed?", "(see: sritool fail --help)"]),
        ("fail --debug", ["--debug goes before the command: sritool --debug fail"]),
        ("fail --format jsn", ["--format: 'jsn' is not one of", "did you mean 'json'?"]),
        ("fail --seed x", ["--seed: "]),
        ("fail --seed -1", ["--seed: ", "0"]),
        ("fail --threads 0", ["--threads: ", "1"]),
        ("fail --max-time 9q", ["--max-time: '9q' is not a length of time", "9m"]),
        ("fail --max-time", ["--max-time", "requires an argument"]),
        ("fail succeed more", ["extra argument", "more", "(see: sritool fail --help)"]),
    ],
)
def test_usage_error_names_the_mistake(invoke: Run, args: str, words: list[str]) -> None:
    result = invoke(*args.split())
    assert (result.exit_code, result.stdout, result.stderr.count("\n")) == (2, "", 1)
    assert result.stderr.startswith("error: ")
    assert all(word in result.stderr for word in words), result.stderr


def test_flag_overrides_environment_variable(invoke: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("SEED", "seven"), ("MAX_TIME", "9m"), ("FORMAT", "json")):
        monkeypatch.setenv(f"SRITOOL_{name}", value)
    result = invoke("fail", "--seed", "8")
    assert json.loads(result.stdout) == {"seed": 8, "max_time": 540.0, "threads": None}
    invalid = invoke("fail")
    assert (invalid.exit_code, "--seed (from SRITOOL_SEED): " in invalid.stderr) == (2, True)
    for name, value in (("SEED", "7"), ("QUIET", "maybe")):
        monkeypatch.setenv(f"SRITOOL_{name}", value)
    unclear = invoke("sample", "tiny-sri")
    assert unclear.exit_code == 2
    assert "(from SRITOOL_QUIET): " in unclear.stderr


def commands_by_name() -> Iterator[tuple[str, Any]]:
    for name in application.COMMANDS:
        command = application.CommandGroup.build(name)
        if hasattr(command, "list_commands"):
            yield from ((f"{name} {kind}", command.build(kind)) for kind in command.headings)
        else:
            yield name, command


def test_repeated_single_value_option_is_refused(invoke: Run) -> None:
    tried = 0
    for name, command in commands_by_name():
        for param in command.params:
            if param.param_type_name == "option" and not param.multiple and not param.is_flag:
                repeated = invoke(*name.split(), param.opts[0], "1", f"{param.opts[0]}=2")
                assert repeated.exit_code == 2, (name, param.opts)
                assert "is given 2 times" in repeated.stderr, (name, param.opts)
                tried += 1
    assert tried > 100


def test_options_that_take_a_time_say_what_a_number_alone_means() -> None:
    times = [
        param for _, command in commands_by_name() for param in command.params if param.metavar == "TIME"
    ]
    assert {param.opts[0] for param in times} == {"--max-time", "--budget", "--peer-timeout"}
    assert [param.opts[0] for param in times if "in seconds" not in param.help] == []


def test_flag_may_be_repeated_but_not_contradicted(invoke: Run) -> None:
    contradicted = invoke("preprocess", "tiny", "--lowercase", "--keep-case")
    assert (contradicted.exit_code, "--lowercase/--keep-case" in contradicted.stderr) == (2, True)
    assert "given 2 times" not in invoke("preprocess", "no-such.txt", "--force", "--force").stderr


def test_suggestion_lists_all_names_if_none_is_close() -> None:
    assert errors.suggestion("tray", ["train", "score"]) == "; did you mean train?"
    assert errors.suggestion("steps", ["stepz"], "sampler.") == "; did you mean sampler.stepz?"
    assert errors.suggestion("zzz", ["train", "score"]) == "; known: train, score"
    assert errors.suggestion("zzz", []) == ""


@pytest.mark.parametrize("options", [["--rows", "3"], ["--rows", "99999"], ["--fmt", "table"], ["--help"]])
def test_closed_pipe_ends_quietly(run_program: RunProgram, flood: Path, options: list[str]) -> None:
    read, write = os.pipe()
    os.close(read)
    done = run_program(flood, "flood", *options, capture_output=False, stdout=write, stderr=subprocess.PIPE)
    os.close(write)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_full_disk_is_a_one_line_error(run_program: RunProgram, flood: Path) -> None:
    with Path("/dev/full").open("w") as full:
        done = run_program(flood, "flood", capture_output=False, stdout=full, stderr=subprocess.PIPE)
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert done.stderr.startswith("error: cannot write the output: No space left on device")


def test_closed_stdout_is_a_one_line_error(run_program: RunProgram, flood: Path) -> None:
    # The shell's >&-
    done = run_program(
        flood,
        "flood",
        "--rows",
        3,
        capture_output=False,
        stderr=subprocess.PIPE,
        preexec_fn=lambda: os.close(1),
    )
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert done.stderr.startswith("error: cannot write the output: Bad file descriptor")


@pytest.mark.parametrize(
    ("words", "expected"),
    [("sritool --ver", "--version"), ("sritool fl", "flood"), ("sritool flood --ro", "--rows")],
)
def test_shell_completion(run_program: RunProgram, flood: Path, words: str, expected: str) -> None:
    variables = {"COMP_WORDS": words, "COMP_CWORD": str(len(words.split()) - 1)}
    done = run_program(flood, env={"_SRITOOL_COMPLETE": "complete_bash", **variables})
    assert expected in done.stdout.split()


@pytest.mark.parametrize(("size", "code"), [("2", 2), ("1", 0), ("0", 0), ("", 0), ("many", 0)])
def test_torchrun_is_refused_for_other_commands(
    run: Run, monkeypatch: pytest.MonkeyPatch, size: str, code: int
) -> None:
    """torchrun sets WORLD_SIZE; each of its processes would do the same work."""
    monkeypatch.setenv("WORLD_SIZE", size)
    result = run("info", "mine-sri")
    assert result.exit_code == code
    assert result.stderr.count("\n") == (code == 2)
    assert ("without torchrun" in result.stderr) == (code == 2)


def test_resume_that_swallowed_the_name_is_explained(run: Run) -> None:
    result = run("train", "--resume", "mine")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "--resume took 'mine' for the run to resume; give NAME before --resume" in result.stderr
    assert "--resume took" not in run("train", "--seed", 1).stderr

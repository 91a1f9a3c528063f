"""Commands in child processes: output, time limit, environment, and forwarded signals."""

from __future__ import annotations

import os
import signal

import pytest

from sritool.cli import child
from sritool.cli.child import Children, Done

WAITS = "import signal; print('begun', flush=True); signal.pause()"


def test_child_runs_this_program() -> None:
    with Children() as children:
        done = children.run(["--version"])
    assert (done.code, done.output.split()[0], done.in_time) == (0, "sritool", True)
    assert done.seconds > 0


def test_reason_for_a_failure() -> None:
    with Children() as children:
        failed = children.run(["evaluate", "nowhere.pt"])
    assert (failed.code, failed.reason) == (3, "no checkpoint nowhere.pt")
    assert Done(137, "", 1.0, True).reason == "exit code 137"


def test_child_is_terminated_at_its_time_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(child, "_PROGRAM", WAITS)
    with Children() as children:
        done = children.run([], seconds=0.2)
    assert (done.code, done.in_time) == (128 + signal.SIGTERM, False)
    assert children.received is None


def test_child_that_ignores_sigterm_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(child, "_PROGRAM", WAITS)
    monkeypatch.setattr(child, "_GRACE", 0.2)
    before = signal.signal(signal.SIGTERM, signal.SIG_IGN)  # the child inherits this
    try:
        with Children() as children:
            done = children.run([], seconds=0.2)
    finally:
        signal.signal(signal.SIGTERM, before)
    assert (done.code, done.in_time) == (128 + signal.SIGKILL, False)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signal_is_forwarded_to_the_child(monkeypatch: pytest.MonkeyPatch, number: signal.Signals) -> None:
    handler = f"signal.signal({number.value}, lambda *_: sys.exit(5))"
    program = f"import os, signal, sys; {handler}; os.kill(os.getppid(), {number.value}); signal.pause()"
    monkeypatch.setattr(child, "_PROGRAM", program)
    before = signal.getsignal(number)
    with Children() as children:
        done = children.run([])
        assert (done.code, children.received) == (5, number)
    assert signal.getsignal(number) is before


def test_earlier_signal_ends_the_next_child(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(child, "_PROGRAM", WAITS)
    with Children() as children:
        os.kill(os.getpid(), signal.SIGTERM)
        assert children.run([]).code == 128 + signal.SIGTERM


def test_child_does_not_inherit_setting_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SRITOOL_EPOCHS", "SRITOOL_SEED", "SRITOOL_MEMORY", "ELSEWHERE"):
        monkeypatch.setenv(name, "7")
    program = "import os; print(*sorted(name for name in os.environ if os.environ[name] == '7'))"
    monkeypatch.setattr(child, "_PROGRAM", program)
    with Children() as children:
        assert children.run([]).output.split() == ["ELSEWHERE", "SRITOOL_MEMORY"]

"""Progress: rate and time left, plain lines with a fake clock, and the bar on a pseudo-terminal."""

from __future__ import annotations

import io
import os
import pty
import subprocess
import sys
from collections.abc import Callable

import pytest

from sritool.cli.progress import Progress, Rate, bar_display
from sritool.cli.streams import Stderr

ON_A_TERMINAL = """
from sritool.cli.progress import Progress
from sritool.cli.formats import Table
from sritool.cli.render import emit
from sritool.cli.streams import say
with Progress("epoch 1/2") as progress:
    for step in range(1, 41):
        progress.update(step, 40, recon=41.25, unstable="2 %")
    say("epoch 1: NLL 33.1")
    emit(Table("", ["epoch", "nll"], [[1, 33.1]]))
"""


class Clock:
    """A clock that the test moves."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def lines_of(capsys: pytest.CaptureFixture[str]) -> list[str]:
    out, err = capsys.readouterr()
    assert out == ""
    return err.splitlines()


def test_plain_lines_are_ten_seconds_apart(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    with Progress("epoch 1/40", clock=clock) as progress:
        for second in range(26):
            clock.now = float(second)
            progress.update(2 * second, 400, recon=41.25)
    assert lines_of(capsys) == [
        "epoch 1/40  0/400 steps  recon 41.25",
        "epoch 1/40  20/400 steps · 2.000/s · 3:10 left  recon 41.25",
        "epoch 1/40  40/400 steps · 2.000/s · 3:00 left  recon 41.25",
        "epoch 1/40  50/400 steps · 2.000/s · 2:55 left  recon 41.25",
    ]


def test_last_state_is_shown_when_the_work_fails(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    def work() -> None:
        with Progress("x", clock=clock) as progress:
            progress.update(1, 9)
            progress.update(2)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        work()
    assert lines_of(capsys) == ["x  1/9 steps", "x  2/9 steps"]


def test_quiet_shows_nothing_and_no_line_repeats(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    for quiet in (True, False):
        with Progress("x", unit="sentences", quiet=quiet, clock=clock) as progress:
            progress.update(3)
        assert lines_of(capsys) == ([] if quiet else ["x  3 sentences"])


def test_label_and_total_persist_but_fields_do_not(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    with Progress("x", clock=clock) as progress:
        progress.update(1, 10, label="epoch 2/3", grad=12, **{"|Δz|": 3.14159})
        clock.now += 10
        progress.update(6)
    assert lines_of(capsys) == [
        "epoch 2/3  1/10 steps  grad 12 · |Δz| 3.142",
        "epoch 2/3  6/10 steps · 0.5000/s · 0:08 left",
    ]


def test_time_left_is_capped_by_the_limit(clock: Clock) -> None:
    with Progress("", "steps", clock=clock) as progress:
        for done in (0, 1):
            progress.update(done, 1000, at_most=60.0)
            clock.now += 1
    assert progress.state.seconds_left == 60


@pytest.mark.parametrize(
    ("moments", "rate"),
    [
        ([(0.0, 5000)], None),
        ([(0.0, 5000), (10.0, 5030)], 3.0),  # a resumed run counts from where it started
        # only the last half minute counts
        ([(float(s), s if s < 100 else 100 + 5 * (s - 100)) for s in range(200)], 5.0),
        ([(0.0, 0), (1.0, 400), (2.0, 2), (3.0, 5)], 3.0),  # a new epoch starts over
    ],
)
def test_rate(moments: list[tuple[float, int]], rate: float | None) -> None:
    counted = Rate()
    for now, done in moments:
        counted.add(now, done)
    assert counted.per_second == pytest.approx(rate)


def test_rate_keeps_little_history() -> None:
    rate = Rate()
    for step in range(100_000):
        rate.add(step / 1000, step)
    assert rate.per_second == pytest.approx(1000, rel=0.01)
    assert len(rate._moments) < 1000


@pytest.mark.parametrize("term", ["xterm", "dumb"])
def test_progress_on_a_terminal_leaves_stdout_to_data(run_program: Callable[..., object], term: str) -> None:
    ours, theirs = pty.openpty()
    done = run_program(
        "-c",
        ON_A_TERMINAL,
        capture_output=False,
        stdout=subprocess.PIPE,
        stderr=theirs,
        env={"COLUMNS": "100", "TERM": term},
    )
    os.close(theirs)
    shown = b""
    while chunk := read_some(ours):
        shown += chunk
    os.close(ours)
    assert (done.returncode, done.stdout) == (0, "epoch\tnll\n1\t33.1\n")  # type: ignore[attr-defined]
    text = shown.decode()
    assert "40/40 steps" in text
    assert "recon 41.25 · unstable 2 %" in text
    assert "epoch 1: NLL 33.1" in text
    if term == "dumb":
        assert "\x1b" not in text
    else:
        assert text.rindex("\x1b[?25h") > text.rindex("\x1b[?25l"), "the cursor stays hidden"


@pytest.mark.parametrize(("width", "bar"), [(100, 8), (80, 6), (63, 0), (62, 0)])
def test_bar_shrinks_before_label_and_time_left(
    width: int, bar: int, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    monkeypatch.setenv("COLUMNS", str(width))
    progress = Progress("tiny-sri: importance", "sentences", clock=clock)
    live = bar_display(progress)
    progress.update(100, 1000)
    clock.now += 10
    progress.update(350, 1000)
    live.update(live.task_ids[0], completed=350, total=1000)
    live.console.print(live.get_renderable())
    shown = stream.getvalue().splitlines()[-1].rstrip()
    assert shown.startswith("tiny-sri: importance ")
    assert shown.endswith(" 350/1000 sentences · 25.00/s · 0:26 left")
    assert shown.count("━") == bar, "not 350/1000 of the bar's width"


def read_some(descriptor: int) -> bytes:
    try:
        return os.read(descriptor, 65536)
    except OSError:  # Linux: the other end of the terminal is closed
        return b""


def test_broken_stderr_does_not_stop_the_work(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    read, write = os.pipe()
    os.close(read)
    with Stderr(os.fdopen(write, "wb"), "utf-8", line_buffering=True) as stream:
        monkeypatch.setattr(sys, "stderr", stream)
        with Progress("x", clock=clock) as progress:
            progress.update(1, 2)
            assert progress.counts() == "1/2 steps"

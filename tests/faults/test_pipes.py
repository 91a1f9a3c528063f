"""Pipes and terminals: every command with streams that are closed, full, unread or narrow, and with signals.

Each command runs undisturbed and then with a faulty stream. If only stderr is faulty, stdout is the same byte for
byte. A full disk or a closed stdout is a one-line error with exit code 1. A reader that leaves is not an error. There
is no traceback, and the interpreter does not complain at its end. `--at-length` runs every command with every fault.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from rich.cells import cell_len

import sritool
from faults.harness.commands import COMMANDS, Command, Desk
from faults.harness.zygote import CLOSED, Done

ANSI = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
FULL = Path("/dev/full")
LAST_WORDS = {"SIGINT": "Ctrl-C", "SIGTERM": "SIGTERM", "SIGHUP": "SIGHUP"}


@contextlib.contextmanager
def stream(state: str) -> Iterator[int]:
    """A descriptor for writing that is in this state."""
    if state == "closed":
        yield CLOSED
        return
    if state == "full":
        descriptor = os.open(FULL, os.O_WRONLY)
    else:
        read, descriptor = os.pipe()
        os.close(read)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


FAULTS = [(name, state) for name in ("stdout", "stderr") for state in ("full", "closed", "unread")]
FAULTS.append(("stdin", "closed"))
# The other kinds of plot print like this one.
SHORT = [name for name in COMMANDS if not name.startswith("plot ") or name == "plot curves"]


def ended_properly(name: str, fault: tuple[str, str], done: Done, whole: Done) -> bool:
    """Whether a command ended as it should with a fault; `whole` is how it ended without one."""
    reason = {("stdout", "full"): "No space left", ("stdout", "closed"): "Bad file descriptor"}.get(fault)
    if reason:
        return done.code == 1 and done.err.count("error") == 1 and reason in done.err.splitlines()[-1]
    if fault[0] == "stdin" and COMMANDS[name].reads:
        return (done.code, done.out) == (3, "") and "is empty" in done.err and done.err.count("\n") == 1
    if fault[0] == "stdout":
        return done.code == 0 and messages(done) == messages(whole)
    if name == "report":  # its page has the time
        return done.code == 0 and done.out[:500] == whole.out[:500] and done.out.endswith(whole.out[-20:])
    return (done.code, done.out) == (0, whole.out)


def messages(done: Done) -> list[str]:
    """The lines on stderr, without progress."""
    return [line for line in done.err.splitlines() if "/s · " not in line and "  0/" not in line]


@pytest.mark.skipif(not FULL.exists(), reason="needs /dev/full")
@pytest.mark.parametrize(
    "name",
    [*SHORT, *(pytest.param(name, marks=pytest.mark.at_length) for name in COMMANDS if name not in SHORT)],
)
def test_faulty_streams(desk: Desk, name: str, at_length: bool) -> None:
    faults = FAULTS
    if not at_length and name != "score":  # one fault for every command, the others in turn
        faults = [FAULTS[0], FAULTS[1 + SHORT.index(name) % (len(FAULTS) - 1)]]
    command = COMMANDS[name]
    whole = [desk.run(command) for _ in range(2)][-1]  # the first may print that it records figures
    assert whole.code == 0, whole.err
    for fault in faults:
        with stream(fault[1]) as descriptor:
            done = desk.run(command, **{fault[0]: descriptor})
        assert ended_properly(name, fault, done, whole), (fault, done.code, done.err[-500:])
        assert not re.search("Traceback|Exception ignored", done.err), (fault, done.err)


def test_slow_reader_gets_everything(desk: Desk) -> None:
    lines = b"a heron\n" * 4000
    whole = desk.zygote.run(("encode", "mine-sri"), cwd=desk.folder, stdin=lines)
    read, write = os.pipe()
    running = desk.zygote.start(("encode", "mine-sri"), cwd=desk.folder, stdin=lines, stdout=write)
    running.until(lambda: not select.select([], [write], [], 0)[1])  # now the process waits for its reader
    os.close(write)
    with os.fdopen(read, "rb") as stream:
        content = stream.read()
    assert (running.wait().code, content.decode()) == (0, whole.out)
    assert len(content) > 65536


def pending(descriptor: int) -> int:
    """Bytes in a pipe."""
    count = bytearray(4)
    fcntl.ioctl(descriptor, termios.FIONREAD, count)
    return int.from_bytes(count, sys.byteorder)


@pytest.mark.parametrize("encoding", ["ascii", "iso8859-1"])
def test_output_is_utf_8_in_any_locale(desk: Desk, encoding: str) -> None:
    command = Command(("score", "mine-sri", "--samples", 4), "é 犬 🐕\n".encode())
    here = desk.run(command)
    assert "é 犬 🐕" in here.out
    there = desk.zygote.run(command.args, cwd=desk.folder, stdin=command.stdin, encoding=encoding)
    assert there == here


@pytest.mark.parametrize(("columns", "term"), [(80, "xterm"), (20, "xterm"), (40, "dumb")])
def test_nothing_is_wider_than_the_terminal(desk: Desk, columns: int, term: str) -> None:
    for name in ("info", "score", "evaluate"):
        done, shown = on_terminal(desk, COMMANDS[name], columns, TERM=term)
        assert done.code == 0, shown
        lines = [ANSI.sub("", line).split("\r")[-1] for line in shown.replace("\r\n", "\n").split("\n")]
        assert max(map(cell_len, lines)) <= columns, (name, shown)
        assert term != "dumb" or "\x1b" not in shown


@pytest.mark.parametrize("form", ["auto", "tsv", "json", "csv", "markdown"])
def test_text_does_not_control_the_terminal(desk: Desk, form: str) -> None:
    text = "a lantern \x1b[2J\x1b]0;owned\x07 \x9b31m kites\n".encode()
    command = Command(("score", "mine-sri", "--samples", 4, "--format", form, "--quiet"), text)
    done, shown = on_terminal(desk, command, 100, TERM="dumb")
    assert done.code == 0, shown
    assert not re.search(r"[\x00-\x09\x0b\x0c\x0e-\x1f\x7f-\x9f]", shown.replace("\t", "")), shown
    assert "lantern" in shown
    if form == "tsv":
        assert text.decode().strip() in desk.run(command).out  # programs get the text as it was


def test_names_do_not_control_the_terminal(desk: Desk) -> None:
    for name in ("\x1b[31mred", "two\nlines", "\u202eturned", os.fsdecode(b"\xff\xfe"), "a" * 256):
        done, shown = on_terminal(desk, Command(("sample", f"runs/{name}")), 1000)
        assert done.code in (1, 3)
        line = ANSI.sub("", shown.removeprefix("\x1b[1;31m")).strip()
        assert line.startswith("error: ")
        assert line.isprintable(), repr(line)


@pytest.mark.parametrize(
    "words",
    [
        "score mine-sri --samples 4",
        "encode mine-sri",
        "evaluate mine-sri --text - --metrics nll",
        "preprocess - --name typed",
    ],
)
def test_reading_from_a_terminal_is_announced(desk: Desk, words: str) -> None:
    with terminal(80) as (ours, theirs):
        os.write(ours, b"a lantern\na heron\na lantern at noon\n\x04")
        done = desk.zygote.run(words.split(), cwd=desk.folder, stdin=theirs)
    assert "Ctrl-D" in done.err.splitlines()[0]


def test_work_survives_the_end_of_its_terminal(desk: Desk) -> None:
    with terminal(80) as (ours, theirs):
        os.close(ours)
        done = desk.zygote.run(
            ("evaluate", "mine-sri", "--again", "--limit", 2), cwd=desk.folder, stderr=theirs
        )
    assert (done.code, done.out.splitlines()[0].split("\t")[0]) == (0, "metric")


@pytest.mark.parametrize("name", LAST_WORDS)
def test_signal_while_working(desk: Desk, name: str) -> None:
    number = signal.Signals[name]
    args = ("evaluate", "mine-sri", "--again", "--samples", 200_000)
    running = desk.zygote.start(args, cwd=desk.folder)
    running.until(lambda: "0/" in running.errors())
    running.send(signal.SIGPIPE)  # harmless
    running.send(signal.SIGSTOP)
    running.send(signal.SIGCONT)
    running.send(number)
    done = running.wait()
    assert (done.code, done.out) == (128 + number, "")
    assert LAST_WORDS[name] in done.err.splitlines()[-1]
    assert "Traceback" not in done.err
    assert not list(desk.folder.rglob("*.tmp"))


def test_stopped_preparation_leaves_nothing(desk: Desk, tmp_path: Path) -> None:
    read, write = os.pipe()
    running = desk.zygote.start(("preprocess", "-", "--name", "stopped"), cwd=tmp_path, stdin=read)
    os.close(read)
    os.write(write, b"a lantern\n" * 1000)
    running.until(lambda: not pending(write))  # it has begun to read
    running.send(signal.SIGTERM)
    done = running.wait()
    os.close(write)
    assert (done.code, done.out, done.err) == (143, "", "stopped by SIGTERM\n")
    assert list(tmp_path.iterdir()) == []


def test_ctrl_c_during_imports(tmp_path: Path) -> None:
    program = """
import os, runpy, signal, sys

class Impatient:
    def find_spec(self, name, path=None, target=None):
        if name == "typer":
            os.kill(os.getpid(), signal.SIGINT)

sys.meta_path.insert(0, Impatient())
runpy.run_module("sritool", run_name="__main__")
"""
    root = str(Path(sritool.__file__).parents[1])
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=os.environ | {"PYTHONPATH": root},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (-signal.SIGINT, "", "")


@contextlib.contextmanager
def terminal(columns: int) -> Iterator[tuple[int, int]]:
    """A terminal of this width: our end and the program's end."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    try:
        yield ours, theirs
    finally:
        for descriptor in (ours, theirs):
            with contextlib.suppress(OSError):
                os.close(descriptor)


def on_terminal(desk: Desk, command: Command, columns: int, **env: str) -> tuple[Done, str]:
    """Run a command on a terminal; return how it ended, and what it sent to the terminal."""
    with terminal(columns) as (ours, theirs):
        streams: dict[str, Any] = {"stdin": command.stdin, "stdout": theirs, "stderr": theirs}
        running = desk.zygote.start(command.args, cwd=desk.folder, env=env, terminal=True, **streams)
        os.close(theirs)
        sent: list[bytes] = []
        reader = threading.Thread(target=lambda: sent.extend(read_all(ours)))
        reader.start()
        done = running.wait()
        reader.join()
    return done, b"".join(sent).decode("utf-8", "surrogateescape")


def read_all(descriptor: int) -> Iterator[bytes]:
    with contextlib.suppress(OSError):  # raised by a terminal whose other end is closed
        while part := os.read(descriptor, 65536):
            yield part

"""No command except the fetching of a named corpus uses the network: each runs with sockets blocked."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from faults.harness.commands import COMMANDS, Desk
from faults.harness.killpoints import NO_NETWORK
from sritool.cli.app import COMMANDS as PROGRAM
from sritool.cli.commands.plot import KINDS


def test_every_command_is_covered() -> None:
    words = [command.args for command in COMMANDS.values()]
    assert {args[0] for args in words if args[0] in PROGRAM} == set(PROGRAM)
    assert {args[1] for args in words if args[0] == "plot"} == set(KINDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_command_does_not_use_the_network(desk: Desk, tmp_path: Path, name: str) -> None:
    report = tmp_path / "report.txt"
    command = COMMANDS[name]
    done = desk.zygote.run(command.args, cwd=desk.folder, stdin=command.stdin, env={NO_NETWORK: str(report)})
    assert done.code == 0, done.err
    assert not report.exists(), report.read_text()


def test_use_of_the_network_is_detected(tmp_path: Path) -> None:
    program = "import socket; from faults.harness.killpoints import arm; arm(); "
    environment = os.environ | {
        NO_NETWORK: str(tmp_path / "report.txt"),
        "PYTHONPATH": os.pathsep.join(sys.path),
    }
    for call in ("socket.create_connection(('127.0.0.1', 9))", "socket.gethostbyname('localhost')"):
        done = subprocess.run(
            [sys.executable, "-c", program + call], env=environment, capture_output=True, check=False
        )
        assert b"Network is unreachable" in done.stderr
        assert "socket." in (tmp_path / "report.txt").read_text()
        (tmp_path / "report.txt").unlink()

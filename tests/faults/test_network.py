"""Fetching a corpus over failing networks, from a stand-in for the hub on 127.0.0.1."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import Result

import sritool

LOCAL = "; if you have the files, run: sritool preprocess ptb --from DIR\n"
LOGIN = "the response is not the data: a login page of this network?"
LATER = "try again later"
TIMED = "no answer in time"

# How the hub behaves -> the reason that the error gives in brackets.
REASONS = {
    "status 401": "it answers with HTTP status 401",
    "status 429 of a tree": f"it answers with HTTP status 429; {LATER}",
    "status 503 of a file": f"it answers with HTTP status 503; {LATER}",
    "portal": LOGIN,
    "portal like a file": "the response is not Parquet; once the network works, remove ",
    "silence": TIMED,
    "silence for a file": TIMED,
    "broken off": "Connection reset by peer",
    "no room": "File too large: ",
    "no names": "its address cannot be resolved: no network?",
    "no proxy": "Connection refused, by way of HTTP_PROXY",
    "offline": "HF_HUB_OFFLINE is set, which forbids it",
}


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """For each case: exit code, stdout, stderr, files left in data/, requests, seconds."""
    home = tmp_path_factory.mktemp("network")
    tests = Path(__file__).parents[1]
    env = {name: value for name, value in os.environ.items() if not name.startswith(("HF_", "SRITOOL_"))}
    env |= {
        "HF_HOME": str(home / "cache"),
        "PYTHONPATH": os.pathsep.join([str(Path(sritool.__file__).parents[1]), str(tests)]),
        "TERM": "xterm",
    }
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"):
        env.pop(name, None)
    done = subprocess.run(
        [sys.executable, "-m", "faults.harness.bad_network"],
        cwd=home,
        env=env,
        check=False,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


@pytest.mark.parametrize("case", ["good", "after broken off", "after portal like a file", "after no room"])
def test_good_network_brings_the_corpus(outcomes: dict[str, Any], case: str) -> None:
    code, stdout, stderr, left, _, _ = outcomes[case]
    assert (code or 0, stdout.split("\t")[:2]) == (0, ["train", "216"])
    assert "data/ptb written in " in stderr
    said = ("warning: 9 of 9 sentences of", "data/ptb written", "most frequent:", "prepared sentences:", "  ")
    assert all(line.startswith(said) for line in stderr.splitlines()), (
        "progress bars or messages of the client"
    )
    assert "data/ptb/corpus.json" in left


@pytest.mark.parametrize("case", [*REASONS, "gone"])
def test_failed_fetch_is_one_line_with_a_remedy(outcomes: dict[str, Any], case: str) -> None:
    code, stdout, stderr, left, _, seconds = outcomes[case]
    reason = REASONS.get(case, "Connection refused")
    assert (code, stdout) == (1, "")
    assert stderr.startswith(f"error: cannot fetch ptb from the Hugging Face hub ({reason}")
    assert stderr.endswith(LOCAL)
    assert stderr.count("\n") == 1
    assert left == []
    assert seconds < 60


def test_silent_hub_is_asked_again_but_not_forever(outcomes: dict[str, Any]) -> None:
    assert 3 <= outcomes["silence for a file"][4] <= 60


def test_training_names_the_source_of_the_corpus(invoke: Callable[..., Result]) -> None:
    done = invoke("train", "ptb")  # the client is offline in tests
    assert done.exit_code == 1
    first, error = done.stderr.splitlines()
    assert "from the Hugging Face hub" in first
    assert "HF_HUB_OFFLINE" in error
    assert error.endswith(LOCAL[:-1])

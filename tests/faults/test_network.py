"""Fetching a corpus over networks that fail, from a stand-in for the hub on 127.0.0.1."""

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

Tally = Callable[..., None]

LOCAL = "; with the files at hand, run: sritool preprocess ptb --from DIR\n"
LOGIN = "what came is not the data: a login page of this network?"
LATER = "try again later"
TIMED = "no answer in time"

# How the hub behaves -> what is said of it in the error's brackets.
REASONS = {
    "status(401)": "it answers with HTTP status 401",
    "status(404)": "it answers with HTTP status 404",
    "status(429)": f"it answers with HTTP status 429; {LATER}",
    "status(500)": f"it answers with HTTP status 500; {LATER}",
    "status(429, '/tree/')": f"it answers with HTTP status 429; {LATER}",
    "status(500, '/tree/')": f"it answers with HTTP status 500; {LATER}",
    "status(404, '/resolve/')": "it answers with HTTP status 404",
    "status(503, '/resolve/')": f"it answers with HTTP status 503; {LATER}",
    "portal()": LOGIN,
    "portal('/tree/')": LOGIN,
    "portal('/resolve/')": LOGIN,
    "portal('/resolve/', like_a_file=True)": "what came is not Parquet; once the network is well, remove ",
    "silence()": TIMED,
    "silence('/tree/')": TIMED,
    "silence('/resolve/')": TIMED,
    "broken_off(99)": "Connection reset by peer",
    "no_room()": "File too large: ",
    "no_names()": "its address is not known here: no network?",
    "no_proxy()": "Connection refused, by way of HTTP_PROXY",
    "offline()": "HF_HUB_OFFLINE is set, which forbids it",
}

PROGRAM = """
import contextlib, json, os, resource, shutil, socket, sys, time
from pathlib import Path

sys.path.append(sys.argv[1])
time.sleep = lambda seconds: None  # between the client's own tries
from benchmarks.faults.hub import broken_off, parquet, portal, serving, silence, status

WORDS = "heron kettle lantern mason otter pedlar".split()
TEXT = [f"the {one} and the {other} at {end}" for one in WORDS for other in WORDS for end in WORDS]
FILES = {
    f"penn_treebank/{split}/0000.parquet": parquet({"sentence": TEXT[:count]})
    for split, count in (("train", 216), ("validation", 9), ("test", 9))
}

@contextlib.contextmanager
def changed(place, name, value):
    before = getattr(place, name)
    setattr(place, name, value)
    try:
        yield
    finally:
        setattr(place, name, before)

@contextlib.contextmanager
def no_room():
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2000, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)

def no_names():
    def getaddrinfo(*args, **more):
        raise socket.gaierror(-2, "Name or service not known")
    return changed(socket, "getaddrinfo", getaddrinfo)

@contextlib.contextmanager
def no_proxy():
    os.environ["HTTP_PROXY"] = "http://127.0.0.1:9"
    try:
        yield
    finally:
        del os.environ["HTTP_PROXY"]

def offline():
    return changed(constants, "HF_HUB_OFFLINE", True)

def fetched(kept=False):
    if not kept:
        shutil.rmtree(os.environ["HF_HOME"], ignore_errors=True)
    HfFileSystem.clear_instance_cache()
    hub.asked.clear()
    shutil.rmtree("data", ignore_errors=True)
    began = time.perf_counter()
    saved = [os.dup(1), os.dup(2)]
    paths = ["stdout.txt", "stderr.txt"]
    files = [os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC) for path in paths]
    for number, file in enumerate(files, 1):
        os.dup2(file, number)
    try:
        code = app(["preprocess", "ptb", "--format", "plain"], prog_name="sritool", standalone_mode=False)
    finally:
        sys.stdout.flush()
        for number, (copy, file) in enumerate(zip(saved, files), 1):
            os.dup2(copy, number)
            os.close(copy)
            os.close(file)
    texts = [Path(path).read_text() for path in paths]
    left = sorted(str(path) for path in Path("data").rglob("*") if path.is_file()) if Path("data").is_dir() else []
    return [code, *texts, left, len(hub.asked), time.perf_counter() - began]

with serving(FILES) as hub:
    os.environ["HF_ENDPOINT"] = hub.address
    from huggingface_hub import HfFileSystem, constants
    from sritool.cli.app import app

    constants.HF_HUB_DOWNLOAD_TIMEOUT = 20  # seconds: a busy machine is no fault
    found = {"good": fetched()}
    for case in json.loads(sys.argv[2]):
        constants.HF_HUB_DOWNLOAD_TIMEOUT = 0.1 if case.startswith("silence") else 20
        made = eval(case)
        if not hasattr(made, "__enter__"):
            hub.faults = [made]
            found[case] = fetched()
            hub.faults = []
        else:
            with made:
                found[case] = fetched()
        if case in ("broken_off(99)", "portal('/resolve/', like_a_file=True)", "no_room()"):
            if "remove " in found[case][2]:
                shutil.rmtree(found[case][2].partition("remove ")[2].partition(" ")[0])
            found[f"after {case}"] = fetched(kept=True)
found["gone"] = fetched()
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Of each case: exit code, stdout, stderr, files left in data/, requests, seconds."""
    home = tmp_path_factory.mktemp("network")
    root = Path(__file__).parents[2]
    env = {name: value for name, value in os.environ.items() if not name.startswith(("HF_", "SRITOOL_"))}
    env |= {
        "HF_HOME": str(home / "cache"),
        "PYTHONPATH": str(Path(sritool.__file__).parents[1]),
        "TERM": "xterm",
    }
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"):
        env.pop(name, None)
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(root), json.dumps(list(REASONS))],
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


@pytest.mark.parametrize(
    "case", ["good", "after broken_off(99)", "after portal('/resolve/', like_a_file=True)", "after no_room()"]
)
def test_a_good_network_after_a_bad_one_brings_the_corpus(outcomes: dict[str, Any], case: str) -> None:
    code, stdout, stderr, left, _, _ = outcomes[case]
    assert (code or 0, stdout.split("\t")[:2]) == (0, ["train", "216"])
    assert stderr.startswith("data/ptb written in ")
    assert stderr.count("\n") == 1, "progress bars or the client's own words off a terminal"
    assert "data/ptb/corpus.json" in left


@pytest.mark.parametrize("case", [*REASONS, "gone"])
def test_a_fetch_that_fails_is_one_line_that_names_the_local_way(
    outcomes: dict[str, Any], tally: Tally, case: str
) -> None:
    code, stdout, stderr, left, _, seconds = outcomes[case]
    reason = REASONS.get(case, "Connection refused")
    assert (code, stdout) == (1, "")
    assert stderr.startswith(f"error: cannot fetch ptb from the Hugging Face hub ({reason}")
    assert stderr.endswith(LOCAL)
    assert stderr.count("\n") == 1
    assert left == []
    assert seconds < 60
    tally("faults of the network met")


def test_a_silent_hub_is_asked_again_but_not_for_ever(outcomes: dict[str, Any]) -> None:
    for case in ("silence('/tree/')", "silence('/resolve/')"):
        assert 3 <= outcomes[case][4] <= 60, case


def test_training_says_where_the_corpus_comes_from(invoke: Callable[..., Result]) -> None:
    done = invoke("train", "ptb")  # the client is offline in tests
    assert done.exit_code == 1
    assert done.stderr.splitlines() == [
        "preparing ptb in data/ptb, from the Hugging Face hub",
        "error: cannot fetch ptb from the Hugging Face hub (HF_HUB_OFFLINE is set, which forbids it)"
        + LOCAL[:-1],
    ]

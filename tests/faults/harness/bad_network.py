"""Fetches a corpus from a hub that fails in given ways, as a process of its own, and prints the outcomes as JSON."""

from __future__ import annotations

import contextlib
import json
import os
import resource
import shutil
import socket
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any
from unittest import mock

from faults.harness.hub import Fault, Hub, broken_off, parquet, portal, serving, silence, status

WORDS = ["heron", "kettle", "lantern", "mason", "otter", "pedlar"]
TEXT = [f"the {one} and the {other} at {end}" for one in WORDS for other in WORDS for end in WORDS]
FILES = {
    f"penn_treebank/{split}/0000.parquet": parquet({"sentence": TEXT[:count]})
    for split, count in (("train", 216), ("validation", 9), ("test", 9))
}


@contextlib.contextmanager
def no_room() -> Iterator[None]:
    """Let no file grow beyond 2,000 bytes."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2000, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


FAULTS: dict[str, Fault] = {
    "status 401": status(401),
    "status 429 of a tree": status(429, "/tree/"),
    "status 503 of a file": status(503, "/resolve/"),
    "portal": portal(),
    "portal like a file": portal("/resolve/", like_a_file=True),
    "silence": silence(),
    "silence for a file": silence("/resolve/"),
    "broken off": broken_off(99),
}
"""Faults of the hub."""

CIRCUMSTANCES: dict[str, Callable[[], AbstractContextManager[Any]]] = {
    "no room": no_room,
    "no names": lambda: mock.patch("socket.getaddrinfo", side_effect=socket.gaierror(-2, "no such name")),
    "no proxy": lambda: mock.patch.dict(os.environ, HTTP_PROXY="http://127.0.0.1:9"),
    "offline": lambda: mock.patch("huggingface_hub.constants.HF_HUB_OFFLINE", True),
}
"""Faults of this machine."""

REPEATED = ("broken off", "portal like a file", "no room")
"""Cases followed by a second fetch with the cache that the first one left."""


def fetched(hub: Hub, kept: bool = False) -> list[Any]:
    """Fetch; return exit code, stdout, stderr, files left in data/, number of requests, seconds."""
    from huggingface_hub import HfFileSystem, close_session

    from sritool.cli.app import app

    if not kept:
        shutil.rmtree(os.environ["HF_HOME"], ignore_errors=True)
    HfFileSystem.clear_instance_cache()
    close_session()  # as in a new process
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
        for number, (copy, file) in enumerate(zip(saved, files, strict=True), 1):
            os.dup2(copy, number)
            os.close(copy)
            os.close(file)
    texts = [Path(path).read_text() for path in paths]
    left = sorted(str(path) for path in Path("data").glob("**/*") if path.is_file())
    return [code, *texts, left, len(hub.asked), time.perf_counter() - began]


def outcomes() -> dict[str, list[Any]]:
    """The outcomes of a good hub, each fault, a good hub after some of them, and a hub that is gone."""
    time.sleep = lambda seconds: None  # the client waits between its retries
    with serving(FILES) as hub:
        os.environ["HF_ENDPOINT"] = hub.address
        from huggingface_hub import constants

        constants.HF_HUB_DOWNLOAD_TIMEOUT = 20  # seconds; a busy machine is not a fault
        found = {"good": fetched(hub)}
        for case in (*FAULTS, *CIRCUMSTANCES):
            constants.HF_HUB_DOWNLOAD_TIMEOUT = 0.1 if case.startswith("silence") else 20
            hub.faults = [FAULTS[case]] if case in FAULTS else []
            with CIRCUMSTANCES.get(case, contextlib.nullcontext)():
                found[case] = fetched(hub)
            hub.faults = []
            if case in REPEATED:
                if "remove " in found[case][2]:
                    shutil.rmtree(found[case][2].partition("remove ")[2].partition(" ")[0])
                found[f"after {case}"] = fetched(hub, kept=True)
    return {**found, "gone": fetched(hub)}


if __name__ == "__main__":
    print(json.dumps(outcomes()))

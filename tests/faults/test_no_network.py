"""No command but the fetching of a named corpus touches the network: every one runs with sockets blocked."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import sritool
from sritool.cli.app import COMMANDS
from sritool.cli.commands.plot import KINDS

V1 = Path(__file__).parents[1] / "saved" / "v1"

# Python reads it at its start, in child processes too: whoever wants an address is written down, and refused.
BLOCK = """
import os, sys

EVENTS = {"socket.connect", "socket.bind", "socket.sendto", "socket.sendmsg", "socket.getaddrinfo",
          "socket.gethostbyname", "socket.gethostbyaddr", "socket.getnameinfo", "urllib.Request"}
LOCAL = {"socket.connect", "socket.bind", "socket.sendto", "socket.sendmsg"}

def watch(event, args):
    if event not in EVENTS or event in LOCAL and isinstance(args[1], str):
        return  # a name in place of a pair: a socket of this machine's own files
    place = os.open(os.environ["TRIED"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(place, f"{event} {args}\\n".encode())
    os.close(place)
    raise OSError(101, "Network is unreachable")

sys.addaudithook(watch)
"""

PROGRAM = """
import io, json, os, sys
from pathlib import Path
from typer.testing import CliRunner
from sritool.cli.app import app

found = []
for words, given in json.loads(sys.argv[1]):
    done = CliRunner().invoke(app, words, input=given, prog_name="sritool")
    tried = Path(os.environ["TRIED"])
    asked = tried.read_text().splitlines() if tried.exists() else []
    tried.unlink(missing_ok=True)
    found.append([" ".join(words), done.exit_code, done.stderr, asked])
print(json.dumps(found))
"""

LINES = "the heron lifts a kettle\na mason paints the lantern upstairs\n"
RUN = "runs/words-sri"
CALLS = [
    ("preprocess tiny", None),
    ("preprocess mine.txt --name mine --tokenizer bpe --vocab-size 40", None),
    ("preprocess - --name piped", "".join(f"line {number} of ours\n" for number in range(60))),
    ("train words --config small.toml --method lm --epochs 1 --threads 1", None),
    (f"train words --resume {RUN} --threads 1", None),
    (f"tune-step {RUN} --sentences 2 --chains 8 --grid 0.5,1", None),
    ("evaluate runs/words-sri runs/words-lm --metrics all --limit 4", None),
    ("compare runs/words-sri runs/words-lm --limit 4", None),
    (f"score {RUN}", LINES),
    (f"info {RUN}", None),
    (f"sample {RUN} -n 4 --metrics unique,self-bleu,nll --max-length 6", None),
    (f"interpolate {RUN} -n 1 --points 3 --max-length 6", None),
    (f"encode {RUN} -o codes.npy", LINES),
    (f"decode {RUN} --codes codes.npy --max-length 6", None),
    (f"noisy-recon {RUN} --limit 4 --k 0,1", None),
    (f"classify {RUN} --labels 0,8 --draws 1", None),
    (f"plot curves {RUN} -o curves.svg", None),
    ("plot frontier runs/words-sri runs/words-lm --limit 4 -o frontier.png", None),
    (f"plot ppl-draws {RUN} --limit 4 -o draws.png", None),
    (f"plot noisy-recon {RUN} --limit 4 --k 0,1 -o noisy.png", None),
    (f"plot tune-step {RUN} --sentences 2 --chains 8 -o steps.png", None),
    ("plot latent runs/words-sri --split train --limit 24 -o latent.png", None),
    (f"plot traversal {RUN} --max-length 6 -o traversal.png", None),
    (f"report {RUN} --limit 4 --samples 20 --map-sentences 8 -o report.html", None),
]
FETCH = ("preprocess ptb", None)


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Of each call: its exit code, stderr, and what was asked of the network; one process runs them all."""
    home = tmp_path_factory.mktemp("blocked")
    for part in ("data", "runs"):
        shutil.copytree(V1 / part, home / part)
    (home / "site").mkdir()
    (home / "site" / "sitecustomize.py").write_text(BLOCK, encoding="utf-8")
    (home / "mine.txt").write_text(
        "".join(f"a line {number} here\n" for number in range(60)), encoding="utf-8"
    )
    (home / "small.toml").write_text(
        "[generator]\nembedding = 4\nhidden = 6\n[validation]\nsentences = 4\nfinal_sentences = 4\n",
        encoding="utf-8",
    )
    kept = {
        name: text for name, text in os.environ.items() if not name.startswith(("HF_", "SRITOOL_", "PYTHON"))
    }
    paths = [str(home / "site"), str(Path(sritool.__file__).parents[1])]
    own = {
        "PYTHONPATH": os.pathsep.join(paths),
        "TRIED": str(home / "tried.txt"),
        "HF_HOME": str(home / "cache"),
    }
    calls = [(words.split(), given) for words, given in [*CALLS, FETCH]]
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, json.dumps(calls)],
        cwd=home,
        env=kept | own | {"TERM": "xterm"},
        check=False,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    return {words: rest for words, *rest in json.loads(done.stdout.splitlines()[-1])}


def test_every_command_is_among_those_that_are_run() -> None:
    assert {words.split()[0] for words, _ in CALLS} == set(COMMANDS)
    assert {words.split()[1] for words, _ in CALLS if words.startswith("plot ")} == set(KINDS)


@pytest.mark.parametrize("words", [words for words, _ in CALLS])
def test_a_command_asks_nothing_of_the_network(outcomes: dict[str, Any], words: str) -> None:
    code, stderr, asked = outcomes[words]
    assert code == 0, stderr
    assert asked == []


def test_the_block_sees_what_a_fetch_asks(outcomes: dict[str, Any]) -> None:
    code, stderr, asked = outcomes[FETCH[0]]
    assert code == 1
    assert any(line.startswith("socket.") for line in asked)
    assert stderr.splitlines()[-1].startswith(
        "error: cannot fetch ptb from the Hugging Face hub (Network is unreach"
    )

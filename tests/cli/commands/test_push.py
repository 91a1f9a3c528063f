"""`sritool push`, and `hf://user/name` as a checkpoint, against a stand-in for the hub."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sritool.analysis.model_card import gather_facts
from sritool.data.preprocess import tiny_in_memory
from sritool.evaluation import sentences
from sritool.runs.checkpoint import load_checkpoint
from sritool.runs.folder import find_checkpoint
from support.hub import COMMIT, TOKEN, Hub
from support.tables import Run

Program = Callable[..., subprocess.CompletedProcess[str]]
NAME = "me/tiny"


@pytest.fixture
def program(hub: Hub, run_program: Program, tmp_path: Path) -> Program:
    """Run the program against the stand-in hub, by default with a valid token."""

    def run(*args: object, token: str = TOKEN, env: dict[str, str] | None = None) -> Any:
        cache = {"XDG_CACHE_HOME": str(tmp_path / "cache")}
        return run_program("-m", "sritool", *args, env=hub.environment(tmp_path, token) | cache | (env or {}))

    return run


def one_line(result: subprocess.CompletedProcess[str]) -> str:
    """Return the error: the last line of stderr, and the only one of its kind."""
    assert result.stdout == ""
    lines = [line for line in result.stderr.splitlines() if line.startswith("error")]
    assert lines == result.stderr.splitlines()[-1:], result.stderr
    return lines[0]


@pytest.mark.slow
def test_pushed_model_is_what_others_fetch(hub: Hub, program: Program, tmp_path: Path) -> None:
    measured = program("evaluate", "tiny-sri", "--limit", 4, "--samples", 8, "--metrics", "nll,permuted")
    assert measured.returncode == 0, measured.stderr
    pushed = program("push", "tiny-sri", NAME)
    assert pushed.returncode == 0, pushed.stderr
    assert pushed.stdout == ""
    assert {*hub.models[NAME]} == {"best.pt", "config.toml", "README.md"}
    assert not hub.private
    (tmp_path / "pushed.pt").write_bytes(hub.models[NAME]["best.pt"])
    assert load_checkpoint(tmp_path / "pushed.pt").trainer is None

    sampled = program("sample", f"hf://{NAME}", "-n", 3, token="")
    assert sampled.returncode == 0, sampled.stderr
    assert sampled.stdout == program("sample", "tiny-sri", "-n", 3).stdout
    assert f"{NAME} from the Hugging Face hub, revision {COMMIT[:12]}" in sampled.stderr
    assert program("info", f"hf://{NAME}@{COMMIT}").returncode == 0
    offline = program("sample", f"hf://{NAME}", "-n", 3, env={"HF_HUB_OFFLINE": "1"})
    assert offline.stdout == sampled.stdout


def test_card_has_the_recorded_figures(invoke: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    command = ["push", "tiny-sri", NAME, "--dry-run"]
    assert "| nll | " not in invoke(*command).stdout
    invoke("evaluate", "tiny-sri", "--limit", 4, "--metrics", "nll,permuted")
    invoke("evaluate", "tiny-sri", "--limit", 5, "--metrics", "permuted")
    opened: list[object] = []
    make = sentences.tiny_in_memory
    monkeypatch.setattr(sentences, "tiny_in_memory", lambda: opened.append(1) or make())
    gather_facts(find_checkpoint(Path("tiny-sri"), Path("runs")), Path("data"))
    assert len(opened) == 1, "the corpus is opened once for all counts on record"
    card = invoke(*command).stdout
    assert "| nll | " in card
    assert " ± " in card
    assert "\nlicense:" not in card
    assert "**Is z used?** Yes" in card
    assert "\\" not in card.replace("\\<", "<")


@pytest.mark.slow
def test_training_text_and_local_paths_are_not_sent(hub: Hub, program: Program, tmp_path: Path) -> None:
    assert program("push", "tiny-sri", NAME).returncode == 0
    sent = b"".join(hub.models[NAME].values())
    corpus = tiny_in_memory()
    train = corpus.split("train")
    texts = [corpus.tokenizer.decode(train.targets(index).tolist()) for index in range(len(train))]
    assert not [text for text in texts if text.encode() in sent]
    for place in (tmp_path, Path(__file__).parents[3]):
        assert str(place).encode() not in sent


@pytest.mark.slow
def test_private_model_is_hidden_from_others(hub: Hub, program: Program) -> None:
    assert program("push", "tiny-sri", NAME, "--private").returncode == 0
    assert hub.private == {NAME}
    refused = program("info", f"hf://{NAME}", token="")
    assert refused.returncode == 3
    assert "hf auth login" in one_line(refused)
    assert program("info", f"hf://{NAME}").returncode == 0


@pytest.mark.slow
@pytest.mark.parametrize("address", ["hf://me/other", f"hf://{NAME}@other", "hf://me/empty"])
def test_missing_model_is_a_one_line_error(address: str, hub: Hub, program: Program) -> None:
    hub.models |= {NAME: {"best.pt": b""}, "me/empty": {}}
    result = program("sample", address)
    assert result.returncode == 3
    assert address in one_line(result)


@pytest.mark.slow
def test_malicious_file_is_not_executed(hub: Hub, program: Program) -> None:
    hub.models[NAME] = {"best.pt": b"cos\nsystem\n(S'echo harm'\ntR."}
    result = program("sample", f"hf://{NAME}")
    assert result.returncode == 3
    assert "harm" not in one_line(result)


@pytest.mark.slow
@pytest.mark.parametrize("token", ["", "hf_of_somebody_else"])
def test_push_without_permission_suggests_logging_in(token: str, hub: Hub, program: Program) -> None:
    result = program("push", "tiny-sri", NAME, token=token)
    assert result.returncode == 1
    assert "hf auth login" in one_line(result)
    assert not token or token not in result.stderr
    assert not hub.models


@pytest.mark.slow
# Online, the hub's client retries for half a minute.
@pytest.mark.parametrize("offline", [pytest.param("0", marks=pytest.mark.at_length), "1"])
@pytest.mark.parametrize("command", [("sample", f"hf://{NAME}"), ("push", "tiny-sri", NAME)])
def test_missing_network_is_a_one_line_error(
    command: tuple[str, ...], offline: str, program: Program
) -> None:
    result = program(*command, env={"HF_ENDPOINT": "http://127.0.0.1:9", "HF_HUB_OFFLINE": offline})
    assert result.returncode == 1
    assert "hub" in one_line(result)


@pytest.mark.parametrize("name", ["tiny", "me/", "me/tiny/x", "../x", "me/a b"])
def test_invalid_name_is_refused(name: str, invoke: Run) -> None:
    assert invoke("push", "tiny-sri", name).exit_code == 2
    assert invoke("info", f"hf://{name}").exit_code == 2


def test_checkpoint_variable_may_name_a_hub_model(invoke: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SRITOOL_CHECKPOINT", f"hf://{NAME}")
    assert f"asking the Hugging Face hub for hf://{NAME}\n" in invoke("evaluate", "--limit", 2).stderr


def test_dry_run_sends_nothing(invoke: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sritool.runs.hub.push_folder", lambda *_: pytest.fail("sent"))
    command = ["push", "tiny-sri", NAME, "--license", "mit"]
    shown = invoke(*command, "--dry-run")
    assert shown.exit_code == 0, shown.stderr
    written = invoke(*command, "-o", "card")
    assert written.exit_code == 0, written.stderr
    assert (tmp_path / "card" / "README.md").read_text("utf-8") == shown.stdout
    assert {path.name for path in (tmp_path / "card").iterdir()} == {"best.pt", "config.toml", "README.md"}
    assert invoke(*command, "-o", "card").exit_code == 2
    assert invoke("push", "tiny-sri", NAME, "--license", "a\nb: c").exit_code == 2
    again = invoke("train", "tiny", "--config", "card/config.toml", "--print-config")
    assert again.stdout.strip() == (tmp_path / "card" / "config.toml").read_text("utf-8").strip()

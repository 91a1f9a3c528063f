"""Built-in corpora from the hub, offline: addresses that no local folder shadows, and conversion of rows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from sritool.data.corpora import named
from sritool.data.corpora.hub import HUB_SETS, fetch, quietly
from sritool.data.corpora.named import named_source
from sritool.errors import SritoolError


class Rows(dict[str, list[Any]]):
    """Columns as ``datasets.Dataset`` hands them out."""

    class _Topic:
        names = ("Sports", "Health")

    features = {"topic": _Topic()}  # noqa: RUF012


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """An unreachable hub; returns the recorded requests."""
    import datasets

    requests: list[dict[str, Any]] = []

    def load_dataset(path: str, **settings: Any) -> Any:
        requests.append({"path": path, **settings})
        raise OSError("[Errno -2] Name or service not known")

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    return requests


def test_addresses_point_to_the_parquet_conversion() -> None:
    assert HUB_SETS["ptb"].data_files() == {
        "train": "hf://datasets/ptb-text-only/ptb_text_only@refs/convert/parquet/penn_treebank/train/*.parquet",
        "valid": "hf://datasets/ptb-text-only/ptb_text_only@refs/convert/parquet/penn_treebank/validation/*.parquet",
        "test": "hf://datasets/ptb-text-only/ptb_text_only@refs/convert/parquet/penn_treebank/test/*.parquet",
    }


@pytest.mark.parametrize("name", HUB_SETS)
def test_failed_fetch_suggests_local_files(name: str, hub: list[dict[str, Any]]) -> None:
    with pytest.raises(SritoolError) as caught:
        fetch(name)
    message = str(caught.value)
    assert message.startswith(f"cannot fetch {name} from the Hugging Face hub ([Errno -2] Name")
    assert message.endswith(f"run: sritool preprocess {name} --from DIR")
    assert caught.value.exit_code == 1
    assert "\n" not in message
    assert hub == [{"path": "parquet", "data_files": HUB_SETS[name].data_files()}]


def test_local_folder_does_not_shadow_the_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the real client, offline in tests: it must ask the hub instead of reading the folder."""
    monkeypatch.chdir(tmp_path)
    for folder in ("ptb", "ptb-text-only/ptb_text_only", "parquet"):
        (tmp_path / folder).mkdir(parents=True)
        for split in ("train", "validation", "test"):
            (tmp_path / folder / f"{split}.txt").write_text("a b\nb a\n")
    with pytest.raises(SritoolError, match="cannot fetch ptb"):
        named_source("ptb").read()


def test_download_time_limit_is_set_once() -> None:
    import huggingface_hub
    from huggingface_hub import constants

    for _ in range(3):
        with quietly(bars=False):
            pass
    session = huggingface_hub.get_session()
    request = session.build_request("GET", "http://127.0.0.1/", timeout=None)
    hooks = session.event_hooks["request"]
    assert sum(hook.__name__ == "bounded" for hook in hooks) == 1
    for hook in hooks:
        if hook.__name__ == "bounded":
            hook(request)
    assert set(request.extensions["timeout"].values()) == {constants.HF_HUB_DOWNLOAD_TIMEOUT}


def test_quietly_restores_bars_and_logging() -> None:
    import logging

    import huggingface_hub.utils as client

    before = logging.getLogger("huggingface_hub").level
    for disabled in (False, True):
        (client.disable_progress_bars if disabled else client.enable_progress_bars)()
        with quietly(bars=False):
            assert client.are_progress_bars_disabled()
            assert logging.getLogger("huggingface_hub").level > logging.CRITICAL
        assert client.are_progress_bars_disabled() is disabled
    client.enable_progress_bars()
    assert logging.getLogger("huggingface_hub").level == before


def test_ptb_rows_are_sentences(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = {split: Rows(sentence=[f" {split} a <unk> ", "b"]) for split in ("train", "valid", "test")}
    monkeypatch.setattr(named, "fetch", lambda name: rows)
    raw = named_source("ptb").read()
    assert raw.splits["valid"].texts == [" valid a <unk> ", "b"]
    assert raw.source == "Hugging Face hub, ptb-text-only/ptb_text_only"
    assert raw.notes == ()


def test_snli_pairs_become_unique_single_sentences(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = {
        split: Rows(
            premise=["A man runs.", "A man runs.", f"In {split}!"],
            hypothesis=["He's tired.", "", f"No {split}"],
        )
        for split in ("train", "valid", "test")
    }
    monkeypatch.setattr(named, "fetch", lambda name: rows)
    monkeypatch.setattr(named, "PAPER_SIZES", {"train": 1, "valid": 10, "test": 10})
    raw = named_source("snli").read()
    assert list(raw.splits["test"].texts) == ["a man runs .", "in test !", "he's tired .", "no test"]
    assert list(raw.splits["valid"].texts) == ["in valid !", "no valid"]
    assert len(raw.splits["train"].texts) == 1
    assert "seed 0" in raw.notes[0]


def test_yahoo_rows_are_joined_labelled_and_split(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    numbers = [str(number) for number in range(40)]
    train = Rows(
        question_title=[f"Why {number}?" for number in numbers],
        question_content=["", "more\\nwords"] * 20,
        best_answer=["Because."] * 40,
        topic=[0, 1] * 20,
    )
    test = Rows(question_title=["When?"], question_content=[""], best_answer=["Now<br />or never"], topic=[1])
    monkeypatch.setattr(named, "fetch", lambda name: {"train": train, "test": test})
    raw = named_source("yahoo").read()
    assert raw.splits["test"].texts == ["When ? Now or never"]
    assert raw.splits["test"].labels == ["Health"]
    assert (len(raw.splits["train"].texts), len(raw.splits["valid"].texts)) == (36, 4)
    joined = dict(zip(raw.splits["train"].texts, raw.splits["train"].labels or (), strict=True))
    assert all(label == ("Health" if "more words" in text else "Sports") for text, label in joined.items())


def test_yelp_reviews_are_cut_into_short_sentences(monkeypatch: pytest.MonkeyPatch) -> None:
    train = Rows(
        text=[f"Great food {number}! Will return.\\n" + "long " * 16 + "." for number in range(20)]
        + ["No. " * 11],
        label=[1] * 20 + [0],
    )
    test = Rows(text=["Bad soup."], label=[0])
    monkeypatch.setattr(named, "fetch", lambda name: {"train": train, "test": test})
    raw = named_source("yelp").read()
    assert (raw.splits["test"].texts, raw.splits["test"].labels) == (["Bad soup ."], ["negative"])
    texts = [*raw.splits["train"].texts, *raw.splits["valid"].texts]
    assert sorted(texts) == sorted([*(f"Great food {number} !" for number in range(20)), "Will return ."])
    assert {*(raw.splits["train"].labels or ())} == {"positive"}
    assert "whole reviews" in raw.notes[0]

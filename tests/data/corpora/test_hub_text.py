"""Hub data sets by address, fetched or streamed; a local folder stands in for the hub."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sritool.data.choose_source import Inputs, choose_source
from sritool.data.corpora.hub_text import HubAddress, hub_source
from sritool.data.fields import FieldNames
from sritool.data.preprocess import preprocess_corpus
from sritool.data.readers import read_sentences
from sritool.data.sources import FileOptions
from sritool.data.store import load_corpus
from sritool.errors import DataError, SritoolError, UsageError


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sentences: list[str]) -> list[dict[str, Any]]:
    """A data set me/mine with classes, no test split and an unused split; returns the recorded requests."""
    import datasets

    folder = tmp_path / "on-the-hub"
    folder.mkdir()
    features = datasets.Features({"id": datasets.Value("int64"), "sentence": datasets.Value("string")})
    features["label"] = datasets.ClassLabel(names=["even", "odd"])
    for split, lines in {"train": sentences * 20, "validation": sentences[:9], "extra": ["x y"]}.items():
        rows = [{"id": k, "sentence": line, "label": k % 2} for k, line in enumerate(lines)]
        datasets.Dataset.from_list(rows, features=features).to_parquet(str(folder / f"{split}.parquet"))
    files = {path.stem: str(path) for path in folder.iterdir()}
    genuine, requests = datasets.load_dataset, list[dict[str, Any]]()

    def load_dataset(path: str, name: str | None, **settings: Any) -> Any:
        requests.append({"path": path, "name": name, **settings})
        if path != "me/mine":
            raise OSError("[Errno -2] Name or service not known")
        cache = str(tmp_path / "cache")
        return genuine("parquet", data_files=files, streaming=settings["streaming"], cache_dir=cache)

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    return requests


def test_addresses() -> None:
    assert HubAddress.of("hf://me/mine") == HubAddress("me/mine", "mine")
    assert HubAddress.of("hf://datasets/me/mine.x@v1/small/") == HubAddress(
        "me/mine.x", "mine.x", "v1", "small"
    )
    for wrong in ("hf://mine", "hf://", "hf://me/mine/a/b", "hf://me/mi ne"):
        with pytest.raises(UsageError, match="hf://OWNER/NAME"):
            HubAddress.of(wrong)


@pytest.mark.parametrize("streaming", [True, False])
def test_data_set_is_prepared(hub: list[dict[str, Any]], tmp_path: Path, streaming: bool) -> None:
    name, source = choose_source(Inputs(["hf://me/mine@v2/small"], streaming=streaming))
    done = preprocess_corpus(name, source, data_dir=tmp_path / "data")
    assert hub == [{"path": "me/mine", "name": "small", "revision": "v2", "streaming": streaming}]
    assert any((tmp_path / "cache").rglob("*.arrow")) is not streaming  # streaming caches nothing
    assert done.info.labels == ("even", "odd")
    assert done.info.source == "Hugging Face hub, me/mine"
    notes = " ".join(done.info.notes)
    for note in ("left out of me/mine: extra", "test (5%) cut from train", "text: sentence; label: label"):
        assert note in notes
    valid = load_corpus(done.path).split("valid")
    np.testing.assert_array_equal(valid.labels, np.arange(9) % 2)


def test_streaming_equals_fetching(hub: list[dict[str, Any]], tmp_path: Path) -> None:
    hashes = set()
    for streaming in (True, False):
        source = hub_source(HubAddress.of("hf://me/mine"), FileOptions(), streaming)
        folder = tmp_path / str(streaming)
        hashes.add(preprocess_corpus("m", source, data_dir=folder, workers=2).info.content_hash)
    assert len(hashes) == 1


def test_text_matches_the_same_rows_in_a_file(hub: list[dict[str, Any]], tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    text = r"where \nabla f<br />is \"so\""
    for path in (tmp_path / "on-the-hub").iterdir():
        pq.write_table(pa.table({"text": [text]}), path)
    part = hub_source(HubAddress.of("hf://me/mine"), FileOptions(), True).read().splits["train"]
    [one] = part.chunks()
    assert one.texts.to_pylist() == read_sentences(tmp_path / "on-the-hub" / "train.parquet").texts
    assert one.texts[0].as_py().split() == ["where", r"\nabla", "f", "is", r"\"so\""]
    assert "<br /> became a space: 1" in " ".join(part.notes)


def test_columns_can_be_named(hub: list[dict[str, Any]], tmp_path: Path) -> None:
    options = FileOptions(names=FieldNames("sentence", None, labels=False))
    source = hub_source(HubAddress.of("hf://me/mine"), options, streaming=True)
    assert preprocess_corpus("m", source, data_dir=tmp_path).info.labels == ()
    options = FileOptions(names=FieldNames("nothing"))
    with pytest.raises(DataError, match="no column 'nothing'"):
        preprocess_corpus("n", hub_source(HubAddress.of("hf://me/mine"), options, True), data_dir=tmp_path)


def test_unreachable_hub(hub: list[dict[str, Any]], tmp_path: Path) -> None:
    source = hub_source(HubAddress.of("hf://you/yours"), FileOptions(), streaming=True)
    with pytest.raises(SritoolError, match=r"cannot read you/yours from the Hugging Face hub \(\[Errno -2"):
        preprocess_corpus("m", source, data_dir=tmp_path)


def test_local_folder_does_not_shadow_the_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "me" / "mine").mkdir(parents=True)
    with pytest.raises(UsageError, match="not on the hub"):
        choose_source(Inputs(["hf://me/mine"], streaming=True))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["lines.txt", "--name", "m", "--streaming"], "hf://OWNER/NAME"),
        (["-", "--name", "m", "--streaming"], "hf://OWNER/NAME"),
        (["yelp", "--streaming"], "a sample of yelp is drawn"),
        (["hf://me/mine", "lines.txt"], "stands alone"),
        (["hf://me/mine", "--train", "lines.txt"], "stands alone"),
        (["hf://me/mine", "--input-format", "tsv"], "--input-format"),
        (["hf://me/mine", "--name", "yelp"], "choose another --name"),
    ],
)
def test_conflicting_options(
    invoke: Callable[..., Any], tmp_path: Path, words: list[str], message: str
) -> None:
    (tmp_path / "lines.txt").write_text("a b\n")
    result = invoke("preprocess", *words)
    assert result.exit_code == 2
    assert message in result.stderr
    assert result.stderr.count("\n") == 1


def test_preprocess_command(hub: list[dict[str, Any]], invoke: Callable[..., Any], tmp_path: Path) -> None:
    data = tmp_path / "data"
    result = invoke("preprocess", "hf://me/mine", "--streaming", "--data-dir", data, "-f", "json")
    assert result.exit_code == 0, result.stderr
    rows = [json.loads(line) for line in result.stdout.splitlines()]
    assert [row["split"] for row in rows] == ["train", "valid", "test"]
    assert (data / "mine" / "corpus.json").is_file()


def test_quiet_hides_progress_bars(
    hub: list[dict[str, Any]], invoke: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import datasets

    load, shown = datasets.load_dataset, []

    def watched(*args: Any, **settings: Any) -> Any:
        shown.append(not datasets.utils.are_progress_bars_disabled())
        return load(*args, **settings)

    monkeypatch.setattr(datasets, "load_dataset", watched)
    monkeypatch.setattr(os, "isatty", lambda descriptor: descriptor == 2)
    for quiet in ("--no-quiet", "--quiet"):
        assert invoke("preprocess", "hf://me/mine", "--data-dir", tmp_path / "data", quiet).exit_code == 0
    assert shown == [True, False]

"""Prepared corpora from strangers, or damaged ones: read completely, or refused in one line."""

from __future__ import annotations

import contextlib
import json
import random
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import torch
from typer.testing import CliRunner

from faults.harness import fuzz
from faults.harness.hostile_files import flipped
from sritool.cli.app import app
from sritool.data.store import load_corpus
from sritool.data.tokenizer import CONTROL, tokenizer_from_state
from sritool.data.vocabulary import train_pieces
from sritool.errors import CheckpointError, DataError

Change = Callable[[dict[str, Any]], Any]


@pytest.fixture
def corpus(home: Path, tmp_path: Path) -> Path:
    """A copy of the good corpus."""
    folder = tmp_path / "data" / "mine"
    shutil.copytree(home / "data" / "mine", folder)
    return folder


def change_info(folder: Path, change: Change) -> None:
    path = folder / "corpus.json"
    info = json.loads(path.read_text(encoding="utf-8"))
    change(info)
    path.write_text(json.dumps(info), encoding="utf-8")


def read_all(folder: Path) -> None:
    corpus = load_corpus(folder)
    for name in corpus.info.splits:
        corpus.split(name)


def refused(folder: Path, seal: bool = True) -> str:
    """Return the message of the refusal; `seal` makes the digests right, so that they do not detect the damage."""
    if seal:
        fuzz.seal_corpus(folder)
    with pytest.raises(DataError) as caught:
        read_all(folder)
    message = str(caught.value)
    assert str(folder) in message
    assert message.isprintable()
    assert len(message) < 500
    assert ";" in message
    return message


def test_corpus_with_new_digests_is_read(corpus: Path) -> None:
    fuzz.seal_corpus(corpus)
    read_all(corpus)


@pytest.mark.parametrize("name", ["corpus.json", "tokenizer.json", "train", "valid", "test"])
def test_every_damage_is_detected(corpus: Path, name: str) -> None:
    read_all(corpus)
    file = corpus / name if name.endswith("json") else next((corpus / name).glob("*.arrow"))
    content = file.read_bytes()
    for tenth in range(10):
        file.write_bytes(content[: len(content) * tenth // 10])
        refused(corpus, seal=False)
    places = range(0, len(content), max(1, len(content) // 40))
    for place in places:
        file.write_bytes(flipped(content, place, place % 7))
        refused(corpus, seal=False)


WRONG_INFO: dict[str, Change] = {
    "no name": lambda info: info.pop("name"),
    "a name with an escape sequence": lambda info: info.update(name="\x1b[2Jmine"),
    "a name of two lines": lambda info: info.update(name="a\nb"),
    "an extra key": lambda info: info.update(more=1),
    "splits that are a list": lambda info: info.update(splits=[]),
    "no splits": lambda info: info.update(splits={}),
    "a missing count": lambda info: info["splits"]["train"].pop("tokens"),
    "a count below 0": lambda info: info["splits"]["train"].update(tokens=-1),
    "a count that is a string": lambda info: info["splits"]["train"].update(tokens="9"),
    "a fractional count": lambda info: info["splits"]["train"].update(tokens=1.5),
    "absurd sentences": lambda info: info["splits"]["train"].update(sentences=10**12),
    "absurd predictions": lambda info: info["splits"]["train"].update(predictions=10**30),
    "an absurd vocabulary": lambda info: info.update(vocabulary=10**12),
    "another tokenizer": lambda info: info.update(tokenizer="bpe"),
    "a length that is a string": lambda info: info.update(max_length="9"),
    "lowercase that is a string": lambda info: info.update(lowercase="no"),
    "labels that are numbers": lambda info: info.update(labels=[1, 2]),
    "labels that are a string": lambda info: info.update(labels="ab"),
    "a version that is a string": lambda info: info.update(format_version="1"),
    "a version below 0": lambda info: info.update(format_version=-1),
}


@pytest.mark.parametrize("wrong", WRONG_INFO)
def test_invalid_corpus_json_is_refused(corpus: Path, wrong: str) -> None:
    change_info(corpus, WRONG_INFO[wrong])
    assert "is damaged" in refused(corpus)


@pytest.mark.parametrize("change", [{"digest": "0" * 64}, {"files": {}}, {"digest": None}])
def test_wrong_digests_are_refused(corpus: Path, change: dict[str, Any]) -> None:
    change_info(corpus, lambda info: info.update(change))
    assert "is not the one that was written" in refused(corpus, seal=False)


@pytest.mark.parametrize(
    "text", ["", "[]", "null", "3", '"x"', "{", "[" * 100_000, "NaN", '{"a":' * 50_000, "\0"]
)
@pytest.mark.parametrize("name", ["corpus.json", "tokenizer.json"])
def test_invalid_json_is_refused(corpus: Path, name: str, text: str) -> None:
    (corpus / name).write_text(text)
    refused(corpus)


def arrow_file(corpus: Path) -> Path:
    return next((corpus / "train").glob("*.arrow"))


def write_table(corpus: Path, table: pa.Table, **options: Any) -> None:
    with pa.OSFile(str(arrow_file(corpus)), "wb") as sink:
        settings_ = pa.ipc.IpcWriteOptions(**options)
        with pa.ipc.new_stream(sink, table.schema, options=settings_) as writer:
            writer.write_table(table)


def honest(corpus: Path) -> pa.Table:
    with pa.memory_map(str(arrow_file(corpus))) as source:
        return pa.ipc.open_stream(source.read()).read_all()


class Wrapped(pa.ExtensionType):
    """A type that a reader would have to construct."""

    def __init__(self) -> None:
        super().__init__(pa.list_(pa.int32()), "sritool.test.wrapped")

    def __arrow_ext_serialize__(self) -> bytes:
        return b"cos\nmkdir\n(Vcode-has-run\ntR."

    @classmethod
    def __arrow_ext_deserialize__(cls, storage_type: Any, serialized: bytes) -> Wrapped:
        raise AssertionError("the type was constructed")


def tables(table: pa.Table) -> dict[str, pa.Table]:
    """Tables that sritool does not write, by what is wrong."""
    ids = table.column("ids").combine_chunks()
    lists, rows = ids.to_pylist(), len(ids)
    i32 = pa.list_(pa.int32())

    def of(values: Any, kind: Any = i32) -> pa.Table:
        return pa.table({"ids": pa.array(values, kind)})

    return {
        "no ids": pa.table({"words": pa.array([1] * rows)}),
        "an extra column": table.append_column("more", pa.array([1] * rows)),
        "ids of 64 bits": of(lists, pa.list_(pa.int64())),
        "ids of float": of(lists, pa.list_(pa.float32())),
        "ids in large lists": of(lists, pa.large_list(pa.int32())),
        "ids in lists of lists": of([lists] * rows, pa.list_(i32)),
        "ids that are strings": of(["x"] * rows, pa.string()),
        "ids in a dictionary": pa.table({"ids": pa.array(["x"] * rows).dictionary_encode()}),
        "a missing sentence": of([None, [*lists[0], *lists[1]][:-1], *lists[2:]]),
        "a missing word": of([[None, *lists[0][1:]], *lists[1:]]),
        "an empty sentence": of([[], lists[0] + lists[1], *lists[2:]]),
        "a sentence that continues after its end": of([[2, *lists[0][1:]], *lists[1:]]),
        "padding in a sentence": of([[0, *lists[0][1:]], *lists[1:]]),
        "an id below 0": of([[-5, *lists[0][1:]], *lists[1:]]),
        "an id beyond the vocabulary": of([[10**9, *lists[0][1:]], *lists[1:]]),
        "fewer sentences": of(lists[:-1]),
        "labels without names": table.append_column("label", pa.array([0] * rows)),
        "labels of text": table.append_column("label", pa.array(["a"] * rows)),
        "words below 0": table.append_column("words", pa.array([-1] * rows)),
        "absurd words": table.append_column("words", pa.array([1 << 60] * rows)),
    }


def test_foreign_arrow_files_are_refused(corpus: Path) -> None:
    table = honest(corpus).combine_chunks()
    write_table(corpus, table)
    fuzz.seal_corpus(corpus)
    read_all(corpus)
    for name, wrong in tables(table).items():
        write_table(corpus, wrong)
        assert refused(corpus), name
        assert not Path("code-has-run").exists()


def test_foreign_types_are_not_constructed(corpus: Path) -> None:
    """pyarrow used to unpickle such types on its own; they are read as plain lists."""
    ids = honest(corpus).column("ids").combine_chunks()
    write_table(corpus, pa.table({"ids": pa.ExtensionArray.from_storage(Wrapped(), ids)}))
    fuzz.seal_corpus(corpus)
    read_all(corpus)
    assert not Path("code-has-run").exists()


@pytest.mark.parametrize("method", ["lz4", "zstd"])
def test_compressed_files_are_not_unpacked(corpus: Path, method: str) -> None:
    rows = 1_000_000
    bomb = pa.table(
        {
            "ids": pa.ListArray.from_arrays(
                pa.array(range(rows + 1), pa.int32()), pa.array([2] * rows, pa.int32())
            )
        }
    )
    write_table(corpus, bomb, compression=method)
    assert "it is compressed" in refused(corpus)


def test_false_offsets_are_refused(corpus: Path) -> None:
    ids = honest(corpus).column("ids").combine_chunks()
    content = ids.flatten()
    for wrong in ([0, 2**30], [0, -5], [5, 3], [-(2**31), 2**31 - 1]):
        offsets = ids.offsets.to_numpy(zero_copy_only=False).copy()
        offsets[1:3] = wrong
        buffers = [None, pa.py_buffer(offsets.tobytes())]
        array = pa.Array.from_buffers(pa.list_(pa.int32()), len(ids), buffers, children=[content])
        write_table(corpus, pa.table({"ids": array}))
        refused(corpus)


@pytest.mark.parametrize(
    "words", ["train mine", "train mine --dry-run", "evaluate good.pt", "compare good.pt good.pt"]
)
def test_commands_refuse_in_one_line(
    home: Path, corpus: Path, monkeypatch: pytest.MonkeyPatch, words: str
) -> None:
    folder = corpus.parents[1]
    monkeypatch.chdir(folder)
    shutil.copy(home / "good.pt", "good.pt")
    for split in ("train", "valid", "test"):
        file = next((corpus / split).glob("*.arrow"))
        file.write_bytes(file.read_bytes()[:700])
    result = CliRunner().invoke(app, words.split(), prog_name="sritool")
    assert (result.exit_code, result.stdout) == (3, ""), result.stderr
    (line,) = result.stderr.splitlines()
    assert line.startswith("error: the prepared corpus in data/mine/")


def chances(few: int, at_length: bool) -> Iterator[random.Random]:
    """Random generators, one for each piece of damage, which its seed reproduces."""
    return (random.Random(seed) for seed in range(20_000 if at_length else few))


def test_damaged_corpora_are_read_or_refused(home: Path, tmp_path: Path, at_length: bool) -> None:
    for chance in chances(80, at_length):
        fuzz.check_corpus(home / "data" / "mine", tmp_path / "fuzzed", chance)


def test_damaged_checkpoints_are_read_or_refused(home: Path, tmp_path: Path, at_length: bool) -> None:
    good = (home / "good.pt").read_bytes()
    values = torch.load(home / "good.pt", weights_only=True)
    for chance in chances(150, at_length):
        fuzz.check_checkpoint(tmp_path / "fuzzed.pt", fuzz.checkpoint_of(good, values, chance))


@pytest.fixture(scope="module")
def model() -> bytes:
    """A SentencePiece model of a few invented lines."""
    lines = [f"the {noun} sings to the {noun} at noon" for noun in ("heron", "kettle", "otter")] * 9
    return train_pieces(lines, "bpe", 40).model


def test_pieces_that_are_not_utf_8_are_refused(model: bytes) -> None:
    tokenizer_from_state({"kind": "bpe", "model": model})
    with pytest.raises(CheckpointError, match="a piece of the SentencePiece model is not UTF-8"):
        tokenizer_from_state({"kind": "bpe", "model": model.replace(b"in", b"i\xff")})


def test_damaged_models_are_read_or_refused(model: bytes, at_length: bool) -> None:
    for chance in chances(300, at_length):
        with contextlib.suppress(CheckpointError):
            tokenizer = tokenizer_from_state({"kind": "bpe", "model": fuzz.damaged(model, chance)})
            assert not CONTROL.search(tokenizer.decode(tokenizer.encode("the heron sings")))
            assert not CONTROL.search(tokenizer.decode(range(len(tokenizer))))

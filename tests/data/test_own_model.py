"""The user's own SentencePiece model, whatever its special ids."""

from __future__ import annotations

import hashlib
import io
import itertools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sentencepiece import SentencePieceProcessor, SentencePieceTrainer

from sritool.data.store import MODEL_FILE, load_corpus
from sritool.data.tokenizer import EOS, SPECIALS, UNK, SentencePieceTokenizer, tokenizer_from_state
from sritool.errors import DataError

TEXTS = [
    f"{who} {does} {what}"
    for who in ("A Gardener", "old pilots")
    for does in ("greet", "paint")
    for what in ("kites", "lanterns!")
]
SPECIAL_IDS: dict[str, dict[str, Any]] = {
    "usual": {},  # unk 0, bos 1, eos 2, no pad
    "no bos": {"bos_id": -1, "eos_id": 1, "unk_id": 2},
    "ours": {"pad_id": 0, "bos_id": 1, "eos_id": 2, "unk_id": 3},
    "char": {"model_type": "char"},
    "controls": {"control_symbols": ["<mask>"], "user_defined_symbols": ["kites"]},
}


def model_of(**special: Any) -> bytes:
    model, options = io.BytesIO(), {"model_type": "bpe", "vocab_size": 60, **special}
    SentencePieceTrainer.Train(
        sentence_iterator=iter(TEXTS * 3),
        model_writer=model,
        hard_vocab_limit=False,
        minloglevel=2,
        **options,
    )
    return model.getvalue()


def test_model_with_a_huge_piece_is_refused() -> None:
    """SentencePiece versions older than our minimum crash on it."""

    def field(content: bytes) -> bytes:
        size, digits = len(content), bytearray()
        while size > 0x7F:
            digits.append(size & 0x7F | 0x80)
            size >>= 7
        return b"\x0a" + bytes([*digits, size]) + content

    piece = field(field(b"a" * 400_000) + b"\x15" + bytes(4))
    with pytest.raises(DataError, match="not a SentencePiece model"):
        SentencePieceTokenizer("sentencepiece", model_of() + piece)


@pytest.mark.parametrize("name", SPECIAL_IDS)
def test_pieces_match_the_model(name: str) -> None:
    model = model_of(**SPECIAL_IDS[name])
    theirs, ours = SentencePieceProcessor(model_proto=model), SentencePieceTokenizer("sentencepiece", model)
    vocabulary = ours.vocabulary()
    assert vocabulary[:4] == list(SPECIALS)
    assert len(vocabulary) == len(ours) == len({*vocabulary})
    for text in [*TEXTS, "kites § A"]:
        ids, pieces = ours.encode(text), theirs.EncodeAsPieces(text)
        assert [vocabulary[index] for index in ids if index != UNK] == [p for p in pieces if p in vocabulary]
        assert [index == UNK for index in ids] == [p not in vocabulary for p in pieces]
        assert ours.decode([*ids, EOS, 5]) == theirs.DecodeIds(theirs.EncodeAsIds(text))
    flat, offsets = ours.encode_many(TEXTS)
    assert [flat[a:b].tolist() for a, b in itertools.pairwise(offsets)] == [*map(ours.encode, TEXTS)]
    again = tokenizer_from_state(ours.state())
    assert (again.kind, again.vocabulary()) == ("sentencepiece", vocabulary)


def test_model_with_other_special_ids_is_refused() -> None:
    with pytest.raises(DataError, match="special ids"):
        SentencePieceTokenizer("bpe", model_of())


def test_corpora_with_the_same_model_are_comparable(invoke: Callable[..., Any], tmp_path: Path) -> None:
    model = model_of()
    (tmp_path / "my.model").write_bytes(model)
    (tmp_path / "a.txt").write_text("\n".join(TEXTS) + "\n")
    (tmp_path / "b.txt").write_text("\n".join(TEXTS[::-1] * 2) + "\n")
    (tmp_path / "t.txt").write_text("\n".join(TEXTS[:3]) + "\n")
    for name, options in (
        ("a", ["--tokenizer", "my.model"]),
        ("b", ["--tokenizer", "my.model"]),
        ("c", ["--like", "a"]),
    ):
        train = "a.txt" if name == "a" else "b.txt"
        files = ["--train", train, "--valid", "t.txt", "--test", "t.txt"]
        result = invoke("preprocess", *files, "--name", name, *options)
        assert result.exit_code == 0, result.stderr
        corpus = load_corpus(tmp_path / "data" / name)
        assert corpus.info.tokenizer == "sentencepiece"
        assert (tmp_path / "data" / name / MODEL_FILE).read_bytes() == model
        hashes = json.loads((tmp_path / "data" / name / "corpus.json").read_text())["files"]
        assert hashes[MODEL_FILE] == hashlib.sha256(model).hexdigest()
    first, second = (load_corpus(tmp_path / "data" / name).split("test") for name in "ab")
    assert first.ids.tolist() == second.ids.tolist()
    assert first.predictions == second.predictions


@pytest.mark.parametrize(
    ("given", "code", "words"),
    [
        (["bad.model"], 3, "bad.model is not a SentencePiece model"),
        (["empty.model"], 3, "empty.model is not a SentencePiece model"),
        (["none.model"], 3, "no such file: none.model"),
        (["unigrm"], 2, "did you mean unigram"),
        (["good.model", "--vocab-size", "50"], 2, "leave --vocab-size out"),
        (["good.model", "--like", "tiny"], 2, "leave --like out"),
        (["."], 2, "is a folder"),
    ],
)
def test_invalid_model(
    invoke: Callable[..., Any], tmp_path: Path, given: list[str], code: int, words: str
) -> None:
    (tmp_path / "bad.model").write_bytes(b"nothing of the kind" * 9)
    (tmp_path / "empty.model").write_bytes(b"")
    (tmp_path / "good.model").write_bytes(model_of())
    (tmp_path / "a.txt").write_text("\n".join(TEXTS) + "\n")
    result = invoke("preprocess", "a.txt", "--name", "a", "--tokenizer", *given)
    assert result.exit_code == code, result.stderr
    assert words in result.stderr
    assert result.stderr.count("\n") == 1

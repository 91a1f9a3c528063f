"""Fuzzing of the readers of text: every input is read or refused."""

from __future__ import annotations

from hypothesis import example, given, settings
from hypothesis import strategies as st

from faults.harness.fuzz_text import HEADED, PARSED, check, fuzz
from sritool.data.options import PrepareOptions
from sritool.data.prepare import prepare
from sritool.data.sentences import CorpusText, Sentences

INPUTS, EXAMPLES = 3_000, 250
SIZES = st.lists(st.integers(1, 40), min_size=1, max_size=6)
CELLS = st.text(st.characters(codec="utf-8"), max_size=12)
WORDS = st.text(
    st.characters(codec="utf-8", exclude_categories=("Cc", "Zs", "Zl", "Zp")), min_size=1, max_size=8
)


def test_mutated_files_are_read_or_refused(at_length: bool) -> None:
    fuzz(200_000 if at_length else INPUTS, seed=1)


@settings(max_examples=EXAMPLES)
@given(data=st.binary(max_size=300), form=st.sampled_from(PARSED), sizes=SIZES)
@example(data=b"a\nb\xff\n\0", form="text", sizes=[1])
@example(data=b'[{"text": "a"},\n{}]', form="jsonl", sizes=[3])
@example(data=b"\xef\xbb\xbf\n", form="text", sizes=[1])
@example(data=b"a\nno label \xe9", form="tsv", sizes=[2])
def test_any_bytes_are_read_or_refused(data: bytes, form: str, sizes: list[int]) -> None:
    check(data, form, sizes)


@settings(max_examples=EXAMPLES)
@given(rows=st.lists(st.tuples(CELLS, CELLS), max_size=6), form=st.sampled_from(("tsv", "csv")), sizes=SIZES)
def test_any_cells_are_read_or_refused(rows: list[tuple[str, str]], form: str, sizes: list[int]) -> None:
    mark = "\t" if form == "tsv" else ","
    data = HEADED[form] + "".join(f"{label}{mark}{text}\n" for label, text in rows)
    check(data.encode(), form, sizes)


@given(lines=st.lists(st.lists(WORDS, min_size=1, max_size=6), min_size=2, max_size=8))
def test_decoding_reverses_encoding(lines: list[list[str]]) -> None:
    texts = [" ".join(words) for words in lines]
    prepared = prepare("m", CorpusText("a test", {"train": Sentences(texts)}), PrepareOptions(min_count=1))
    split = prepared.splits["train"]
    decoded = [prepared.tokenizer.decode(split.targets(row)) for row in range(len(split))]
    assert len(decoded) + prepared.info.splits["train"].empty == len(texts)
    assert decoded == [
        " ".join(text.replace("\ufeff", " ").split()) for text in texts if text.strip("\ufeff ")
    ]


def test_blank_files_are_refused() -> None:
    for form in PARSED:
        assert not isinstance(check(b" \n\n", form, [1]), Sentences)

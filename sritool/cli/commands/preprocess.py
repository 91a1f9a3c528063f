"""`sritool preprocess`: turns text into a prepared corpus, and prints a table of its contents."""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from sritool.cli.formats import Table
from sritool.cli.options.files import DataDirOpt, OutputOptions, RunsDirOpt, column_option, file_option
from sritool.cli.options.measurement import SeedOpt
from sritool.cli.options.vocabulary import given_vocabulary
from sritool.cli.render import emit
from sritool.cli.signatures import in_panel
from sritool.cli.streams import announce_stdin, say
from sritool.errors import UsageError

if TYPE_CHECKING:
    from sritool.data.preprocess import PreparedCorpus

_LONGEST_SHOWN = 100  # characters of a sentence

reading_option = in_panel("Reading your own text")
word_option = in_panel("Words and sentences")


def preprocess(
    inputs: Annotated[
        list[str] | None, typer.Argument(metavar="NAME|FILE…|hf://OWNER/NAME|-", show_default=False)
    ] = None,
    name: str | None = None,
    folder: Annotated[Path | None, typer.Option("--from", metavar="DIR")] = None,
    train: Annotated[list[Path] | None, typer.Option(metavar="FILE|-")] = None,
    valid: Annotated[list[Path] | None, typer.Option(metavar="FILE|-")] = None,
    test: Annotated[list[Path] | None, typer.Option(metavar="FILE|-")] = None,
    valid_share: Annotated[float | None, reading_option()] = None,
    test_share: Annotated[float | None, reading_option()] = None,
    input_format: Annotated[
        Literal["text", "tsv", "csv", "jsonl", "parquet"] | None, reading_option()
    ] = None,
    text_key: Annotated[str | None, column_option("text", reading_option)] = None,
    label_key: Annotated[str | None, column_option("label", reading_option)] = None,
    streaming: Annotated[bool, reading_option("--streaming")] = False,
    no_labels: Annotated[bool, reading_option("--no-labels")] = False,
    lowercase: Annotated[bool | None, word_option("--lowercase/--keep-case")] = None,
    split_punctuation: Annotated[bool | None, word_option("--split-punctuation/--keep-punctuation")] = None,
    tokenizer: Annotated[str | None, word_option(metavar="KIND|FILE.model")] = None,
    vocab_size: Annotated[int | None, word_option(min=2)] = None,
    min_count: Annotated[int | None, word_option(min=1)] = None,
    like: Annotated[str | None, word_option(metavar="CORPUS|RUN")] = None,
    vocab: Annotated[Path | None, word_option(metavar="FILE")] = None,
    max_length: Annotated[int | None, word_option(min=1)] = None,
    truncate: Annotated[bool | None, word_option("--truncate/--drop")] = None,
    chunk: Annotated[int | None, word_option(min=1)] = None,
    seed: SeedOpt = 0,
    workers: Annotated[int, typer.Option(min=1)] = 1,
    force: Annotated[bool, file_option("--force")] = False,
    data_dir: DataDirOpt = Path("data"),
    runs_dir: RunsDirOpt = Path("runs"),
    *,
    output: OutputOptions,
) -> None:
    """Prepare a corpus for training: a built-in one, your own files, or text from stdin.

    sritool preprocess ptb --from DIR

    sritool preprocess captions.txt --name captions

    sritool preprocess train.tsv dev.tsv test.tsv --name reviews

    grep -v '^#' notes.txt | sritool preprocess - --name notes

    sritool preprocess hf://OWNER/NAME --streaming

    tiny is generated here. ptb, snli, yahoo and yelp are fetched from the Hugging Face hub, unless --from names a
    folder with their files; so are data sets named by hf://. Nothing else is fetched.

    Args:
        inputs: A built-in corpus (tiny, ptb, snli, yahoo, yelp), your own files, a folder of them, a data set of the
            Hugging Face hub (hf://OWNER/NAME or hf://OWNER/NAME/CONFIGURATION), or - for stdin.
        name: Name of a corpus of your own, and of its folder in --data-dir.
        folder: Folder with the files of a built-in corpus, or with your own.
        train: The training text; repeat it for each further file.
        valid: The validation text; by default, cut from train.
        test: The test text; by default, cut from train.
        valid_share: Share of the training text to cut off for validation. [default: 0.05]
        test_share: Share of the training text to cut off for test. [default: 0.05]
        input_format: text: one sentence per line. tsv: label<TAB>text, or columns with a header; csv likewise.
            jsonl: one object per line, or one array of objects. parquet: columns. All but parquet may be compressed:
            gzip, bzip2, xz, zstd. [default: by the file's ending; text for stdin]
        streaming: Read a data set of the Hugging Face hub while it is processed, without storing its files: for one
            that does not fit on the disk.
        no_labels: Do not take any column, key or first word for a label.
        lowercase: Convert the text to lower case. [default: keep; lowercase for snli, yahoo and yelp]
        split_punctuation: Separate punctuation from words: "runs." becomes "runs .". [default: keep]
        tokenizer: word: white space separates words. unigram, bpe: SentencePiece, for raw text. Or the path of
            your own SentencePiece model, which is used as it is. [default: word]
        vocab_size: Largest vocabulary: words, including <unk>, or pieces. [default: all words, or 8000 pieces; 20000
            words for snli, yahoo and yelp]
        min_count: Words rarer than this in train become <unk>. [default: 2; 1 for tiny, ptb and text that contains
            <unk>]
        like: Use the vocabulary or pieces of this corpus or run as they are, its cleaning, and a corpus's treatment
            of long lines, so that figures are comparable.
        vocab: Use the words of this file as the vocabulary, one word per line; a number after it, such as a count, is
            ignored.
        max_length: Longest sentence, in words or pieces. [default: 200]
        truncate: Cut longer sentences, or leave them out. [default: truncate]
        chunk: Split a longer line, such as a document, into sentences of this many words or pieces, and lose
            nothing; each gets the line's label.
        workers: Number of processes that split a large text into words or pieces; it does not change the corpus.
        force: Replace another corpus of this name.
    """
    from sritool.data.choose_source import Inputs, choose_source
    from sritool.data.corpora.hub import HUB_SETS, quietly
    from sritool.data.corpora.hub_text import SCHEME
    from sritool.data.fields import FieldNames
    from sritool.data.options import with_overrides
    from sritool.data.preprocess import preprocess_corpus
    from sritool.data.sources import FileOptions

    files = {"train": train, "valid": valid, "test": test}
    splits = {split: paths for split, paths in files.items() if paths}
    names = FieldNames(text_key, label_key, not no_labels)
    reading = FileOptions(input_format, names, valid_share, test_share, seed)
    for given in (*(inputs or ()), *(path for paths in splits.values() for path in paths)):
        announce_stdin(given)
    chosen, source = choose_source(Inputs(inputs or (), splits, folder, name, streaming), reading)
    if chunk is not None and (max_length is not None or truncate is not None):
        other = "--max-length" if max_length is not None else "--truncate or --drop"
        raise UsageError(
            f"--chunk {chunk} sets the length of sentences, and loses nothing; leave {other} out"
        )
    asked = {
        "tokenizer": tokenizer,
        "vocab_size": vocab_size,
        "min_count": min_count,
        "max_length": max_length if chunk is None else chunk,
        "lowercase": lowercase,
        "split_punctuation": split_punctuation,
        # Setting one of these two overrides the other one of a corpus that --like names.
        "drop_long": False if chunk is not None else None if truncate is None else not truncate,
        "chunk": True if chunk is not None else None if truncate is None else False,
    }
    vocabulary, fixed = given_vocabulary(like, vocab, asked, data_dir, runs_dir)
    asked["tokenizer"] = fixed.get("tokenizer", tokenizer)  # a given vocabulary has its own kind
    overrides = fixed | {key: value for key, value in asked.items() if value is not None}
    options = with_overrides(source.options, overrides)
    first = inputs[0] if inputs and folder is None else ""
    if first in HUB_SETS and not output.quiet and sys.stderr.isatty():
        say(f"fetching {first} from the Hugging Face hub; if you have its files, give --from DIR")
    fetches = first in HUB_SETS or first.startswith(SCHEME)
    with quietly(bars=False) if fetches and output.quiet else contextlib.nullcontext():
        prepared = preprocess_corpus(chosen, source, options, data_dir, force, vocabulary, workers)
    emit(corpus_table(prepared), output.fmt)


def corpus_table(prepared: PreparedCorpus) -> Table:
    """Return the counts of every split; the note says where the corpus is and what to know about it."""
    info = prepared.info
    rows = []
    for split, counts in info.splits.items():
        row = {"split": split, "sentences": counts.sentences, "words": counts.words}
        row |= {"pieces": counts.tokens} if info.tokenizer != "word" else {}
        row |= {"predictions": counts.predictions, "OOV share": counts.oov_share, "empty": counts.empty}
        row |= {"dropped": counts.dropped, "truncated": counts.truncated, "longest": counts.longest}
        row |= {"documents cut": counts.chunked, "parts": counts.parts} if info.chunk else {}
        rows.append(row)
    return Table.of(f"Corpus {info.name}, from {info.source}", rows, _note(prepared))


def _note(prepared: PreparedCorpus) -> str:
    info = prepared.info
    unit = "words" if info.tokenizer == "word" else f"{info.tokenizer} pieces"
    done = f"written in {prepared.seconds:.1f} s" if prepared.fresh else "was up to date"
    counts = info.splits.values()
    marked = sum(split.unknown - split.oov for split in counts)
    cleaned = sum(split.cleaned for split in counts)
    warnings = [note for note in info.notes if note.startswith("warning: ")]
    said = [note for note in info.notes if note not in warnings]
    lost = sum(split.left_out for split in counts)
    if lost:
        long = sum(split.truncated + split.dropped for split in counts)
        total = lost + sum(split.tokens for split in counts)
        tokens = "words" if info.tokenizer == "word" else "pieces"
        lines = "lines" if long > 1 else "line"
        warnings.append(
            f"warning: {lost:,} of {total:,} {tokens} left out, in {long:,} {lines} of more than {info.max_length}; "
            "--chunk N keeps them"
        )
    parts = [f"{prepared.path} {done}: vocabulary {info.vocabulary:,} {unit}", *said]
    if marked:
        parts.append(f"{marked:,} words are <unk> in the text itself")
    if info.labels:
        parts.append(f"labels {', '.join(info.labels[:12])}{' …' if len(info.labels) > 12 else ''}")
    if cleaned:
        parts.append(f"lines whose control characters became spaces: {cleaned}")
    summary = "; ".join([*parts, f"train with: sritool train {info.name}"])
    frequent = f"most frequent: {' '.join(word[:_LONGEST_SHOWN] for word in prepared.frequent)}"
    examples = [
        f"  {text[:_LONGEST_SHOWN]}{' …' if len(text) > _LONGEST_SHOWN else ''}" for text in prepared.examples
    ]
    return "\n".join([*warnings, summary, frequent, "prepared sentences:", *examples])

"""`sritool preprocess`: text to a prepared corpus, and a table of what is in it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from sritool.cli.options import FILES_PANEL, DataDirOpt, FormatOpt, SeedOpt

if TYPE_CHECKING:
    from sritool.cli.render import Table
    from sritool.tasks.preprocess import PreparedCorpus

TEXT_PANEL = "Reading text"
WORDS_PANEL = "Words"


def preprocess(
    inputs: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="NAME|FILE…|-",
            help="A built-in corpus (tiny, ptb, snli, yahoo, yelp), your own files, a folder of them, "
            "or - for stdin.",
            show_default=False,
        ),
    ] = None,
    name: Annotated[
        str | None, typer.Option("--name", help="Name of a corpus of your own: the folder it gets.")
    ] = None,
    folder: Annotated[
        Path | None,
        typer.Option(
            "--from", metavar="DIR", help="Folder of local files, in their usual names.", show_default=False
        ),
    ] = None,
    train: Annotated[
        Path | None, typer.Option("--train", metavar="FILE|-", help="The training text.")
    ] = None,
    valid: Annotated[
        Path | None,
        typer.Option("--valid", metavar="FILE|-", help="The validation text; without it, cut from train."),
    ] = None,
    test: Annotated[
        Path | None,
        typer.Option("--test", metavar="FILE|-", help="The test text; without it, cut from train."),
    ] = None,
    valid_share: Annotated[
        float | None,
        typer.Option(
            help="Share of the training text to cut off for validation. [default: 0.05]",
            show_default=False,
            rich_help_panel=TEXT_PANEL,
        ),
    ] = None,
    test_share: Annotated[
        float | None,
        typer.Option(
            help="Share of the training text to cut off for test. [default: 0.05]",
            show_default=False,
            rich_help_panel=TEXT_PANEL,
        ),
    ] = None,
    input_format: Annotated[
        Literal["text", "tsv", "csv", "jsonl"] | None,
        typer.Option(
            help="text: a sentence a line. tsv: label<TAB>text, or columns with a header; csv likewise. "
            "jsonl: an object a line. Without it, the file's ending tells.",
            show_default=False,
            rich_help_panel=TEXT_PANEL,
        ),
    ] = None,
    text_key: Annotated[
        str | None,
        typer.Option(
            help="Key or column of the text. [default: text, sentence, …]",
            show_default=False,
            rich_help_panel=TEXT_PANEL,
        ),
    ] = None,
    label_key: Annotated[
        str | None,
        typer.Option(
            help="Key or column of the label. [default: label, …, if there]",
            show_default=False,
            rich_help_panel=TEXT_PANEL,
        ),
    ] = None,
    lowercase: Annotated[
        bool | None,
        typer.Option("--lowercase/--keep-case", help="Make all letters small.", rich_help_panel=TEXT_PANEL),
    ] = None,
    split_punctuation: Annotated[
        bool | None,
        typer.Option(
            "--split-punctuation/--keep-punctuation",
            help='Make marks words of their own: "runs." becomes "runs .".',
            rich_help_panel=TEXT_PANEL,
        ),
    ] = None,
    tokenizer: Annotated[
        Literal["word", "unigram", "bpe"] | None,
        typer.Option(
            help="word: as white space parts the text. unigram, bpe: SentencePiece, for raw text. "
            "[default: word]",
            show_default=False,
            rich_help_panel=WORDS_PANEL,
        ),
    ] = None,
    vocab_size: Annotated[
        int | None,
        typer.Option(
            min=2,
            help="The most words to keep, <unk> counted, or pieces. [default: all words, or 8000 pieces; "
            "20000 words of snli, yahoo and yelp]",
            show_default=False,
            rich_help_panel=WORDS_PANEL,
        ),
    ] = None,
    min_count: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Words rarer than this in train become <unk>. [default: 2; 1 where the text has <unk> "
            "itself, and for ptb and tiny]",
            show_default=False,
            rich_help_panel=WORDS_PANEL,
        ),
    ] = None,
    max_length: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="The most words, or pieces, of a sentence. [default: 200]",
            show_default=False,
            rich_help_panel=WORDS_PANEL,
        ),
    ] = None,
    truncate: Annotated[
        bool | None,
        typer.Option(
            "--truncate/--drop",
            help="Cut longer sentences, or leave them out. [default: truncate]",
            show_default=False,
            rich_help_panel=WORDS_PANEL,
        ),
    ] = None,
    seed: SeedOpt = 0,
    force: Annotated[
        bool,
        typer.Option("--force", help="Replace another corpus of this name.", rich_help_panel=FILES_PANEL),
    ] = False,
    data_dir: DataDirOpt = Path("data"),
    fmt: FormatOpt = "auto",
) -> None:
    """Prepare a corpus for training: a built-in one, your own files, or text from stdin.

    sritool preprocess ptb --from DIR

    sritool preprocess captions.txt --name captions

    sritool preprocess train.tsv dev.tsv test.tsv --name reviews

    grep -v '^#' notes.txt | sritool preprocess - --name notes
    """
    from sritool.cli.render import emit
    from sritool.corpus.sources import FileOptions
    from sritool.corpus.textfiles import Columns
    from sritool.tasks.preprocess import Inputs, choose_source, preprocess_corpus, with_overrides

    splits = {"train": train, "valid": valid, "test": test}
    given = Inputs(
        inputs or (), {split: path for split, path in splits.items() if path is not None}, folder, name
    )
    columns = Columns(text_key, label_key)
    chosen, source = choose_source(given, FileOptions(input_format, columns, valid_share, test_share, seed))
    options = with_overrides(
        source.options,
        {
            "tokenizer": tokenizer,
            "vocab_size": vocab_size,
            "min_count": min_count,
            "max_length": max_length,
            "lowercase": lowercase,
            "split_punctuation": split_punctuation,
            "drop_long": None if truncate is None else not truncate,
        },
    )
    emit(corpus_table(preprocess_corpus(chosen, source, options, data_dir, force)), fmt)


def corpus_table(prepared: PreparedCorpus) -> Table:
    """Counts of every split, and beneath them where the corpus is and what is to be known of it."""
    from sritool.cli.render import Table

    info = prepared.info
    pieces = info.tokenizer != "word"
    columns = ["split", "sentences", "words", *(["pieces"] if pieces else []), "predictions", "OOV share"]
    columns += ["empty", "dropped", "truncated", "longest"]
    rows = [
        [
            split,
            counts.sentences,
            counts.words,
            *([counts.tokens] if pieces else []),
            counts.predictions,
            counts.oov_share,
            counts.empty,
            counts.dropped,
            counts.truncated,
            counts.longest,
        ]
        for split, counts in info.splits.items()
    ]
    unit = f"{info.tokenizer} pieces" if pieces else "words"
    title = f"{info.name}: vocabulary {info.vocabulary:,} {unit}, at most {info.max_length} a sentence"
    return Table(title, columns, rows, note=_note(prepared))


def _note(prepared: PreparedCorpus) -> str:
    info = prepared.info
    done = f"written in {prepared.seconds:.1f} s" if prepared.fresh else "was up to date"
    cleaned = sum(counts.cleaned for counts in info.splits.values())
    parts = [f"{prepared.path} {done}", *info.notes]
    if info.labels:
        parts.append(f"labels {', '.join(info.labels[:12])}{' …' if len(info.labels) > 12 else ''}")
    if cleaned:
        parts.append(f"control characters in {cleaned} lines became spaces")
    return "; ".join([*parts, f"train with: sritool train {info.name}"])

"""The built-in corpora: their usual files and hub sets, and how samples of the paper's sizes are drawn."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from sritool.data.corpora.hub import HUB_SETS, fetch
from sritool.data.corpora.official_files import (
    HUB_READERS,
    Reader,
    answers_csv,
    labelled,
    plain,
    polarity,
    sentiment,
    snli_jsonl,
    snli_table,
)
from sritool.data.file_names import SPLIT_WORDS, list_folder
from sritool.data.normalise import split_punctuation
from sritool.data.options import PrepareOptions
from sritool.data.sampling import sample, split_by_ratio, unique
from sritool.data.sentences import CorpusText, Sentences
from sritool.data.sources import Source
from sritool.errors import DataError, UsageError, suggestion

PAPER_SIZES = {"train": 100_000, "valid": 10_000, "test": 10_000}


@dataclass(frozen=True)
class Layout:
    """The usual files of a corpus."""

    names: tuple[str, ...]  # ``{}`` stands for the split
    read: Reader  # of one split
    pool: bool = False  # whether they are the whole data set, of which the paper used a sample
    raw: bool = False  # whether punctuation is still joined to the words


@dataclass(frozen=True)
class NamedCorpus:
    """A built-in corpus."""

    options: PrepareOptions  # how it is prepared by default
    layouts: tuple[Layout, ...] = ()  # its usual local files, in the order in which they are looked for


def named_source(name: str, folder: Path | None = None, seed: int = 0) -> Source:
    """Return the source of a built-in corpus, whose samples have this seed.

    Its files are in a folder. Without one they are fetched from the hub, and ``tiny`` is made by its grammar.

    Raises:
        UsageError: There is no such corpus; the message suggests the nearest name.
    """
    check_name(name)
    corpus = NAMED[name]
    if name == "tiny":
        if folder is not None:
            raise UsageError("tiny is made by the program itself; leave --from out")
        return Source(corpus.options, partial(_read_tiny, seed))
    if folder is not None:
        return Source(corpus.options, partial(_read_local, name, corpus, folder, seed))
    return Source(corpus.options, partial(_read_hub, name, seed))


def check_name(name: str) -> None:
    """Check that `name` is a built-in corpus.

    Raises:
        UsageError: It is not; the message suggests the nearest one.
    """
    if name not in NAMED:
        hint = suggestion(name.lower(), NAMED)
        raise UsageError(
            f"unknown corpus {name!r}{hint} (your own text: sritool preprocess FILE --name NAME)"
        )


def _read_tiny(seed: int) -> CorpusText:
    from sritool.data.corpora.tiny import tiny_sentences

    splits = {
        split: Sentences([item.text for item in items], [item.label for item in items])
        for split, items in tiny_sentences(seed).items()
    }
    return CorpusText(f"grammar of sritool, seed {seed}", splits)


def _read_local(name: str, corpus: NamedCorpus, folder: Path, seed: int) -> CorpusText:
    there = {path.name.lower(): path for path in list_folder(folder)}
    best: dict[str, list[Path]] = {}
    for layout in corpus.layouts:
        files = _match(layout, there)
        needed = {"train", "test"} if layout.pool else set(SPLIT_WORDS)
        if needed <= files.keys():
            splits = {split: layout.read(files[split]) for split in SPLIT_WORDS if split in files}
            source = ", ".join(path.name for paths in files.values() for path in paths)
            return _finish(name, f"local files {source}", splits, layout, seed)
        best = max(best, files, key=len)
    missing = " and no ".join(split for split in SPLIT_WORDS if split not in best)
    usual = " or ".join(", ".join(layout.names) for layout in corpus.layouts[:2]).replace(
        "{}", "train|valid|test"
    )
    raise DataError(
        f"{folder} has no {missing} file of {name}; its usual files are {usual}; add the missing ones"
    )


def _match(layout: Layout, there: Mapping[str, Path]) -> dict[str, list[Path]]:
    files: dict[str, list[Path]] = {}
    for split, words in SPLIT_WORDS.items():
        for word in words:
            names = [name.format(word) for name in layout.names]
            if split not in files and all(name in there for name in names):
                files[split] = [there[name] for name in names]
    return files


def _read_hub(name: str, seed: int) -> CorpusText:
    pools = {split: HUB_READERS[name](rows) for split, rows in fetch(name).items()}
    layout = Layout((), plain, pool=name != "ptb", raw=name == "yahoo")
    return _finish(name, f"Hugging Face hub, {HUB_SETS[name].hub_id}", pools, layout, seed)


def _finish(name: str, source: str, splits: Mapping[str, Sentences], layout: Layout, seed: int) -> CorpusText:
    """Return the corpus; of a pool, each sentence once, and of these a sample of the paper's size."""
    if not layout.pool:
        return CorpusText(source, splits)
    chosen = dict(splits)
    if "valid" not in chosen:
        held = min(0.1, PAPER_SIZES["valid"] / max(len(chosen["train"].texts), 1))
        chosen |= split_by_ratio(chosen["train"], {"valid": held}, seed, "train")
    chosen = unique({split: chosen[split] for split in SPLIT_WORDS})
    sampled = {split: sample(part, PAPER_SIZES[split], seed) for split, part in chosen.items()}
    if layout.raw:  # only now: the pool may be ten times as large
        sampled = {
            split: replace(part, texts=list(map(split_punctuation, part.texts)))
            for split, part in sampled.items()
        }
    note = f"unique sentences, sampled with seed {seed}: not the paper's own sample"
    if name == "yelp" and source.startswith("Hugging Face"):
        note += "; cut out of whole reviews"
    return CorpusText(source, sampled, (note,))


NAMED: dict[str, NamedCorpus] = {
    # Bundled captions and short reviews, 12,000 / 1,000 / 1,000
    "tiny": NamedCorpus(PrepareOptions(min_count=1)),
    # Penn Treebank for language modelling, 42,068 / 3,370 / 3,761
    "ptb": NamedCorpus(
        PrepareOptions(min_count=1),
        (Layout(("ptb.{}.txt",), plain), Layout(("{}.txt",), plain)),
    ),
    # Sentences of SNLI, 100,000 / 10,000 / 10,000
    "snli": NamedCorpus(
        PrepareOptions(vocab_size=20_000, lowercase=True),
        (
            Layout(("snli.{}.txt",), plain),
            Layout(("snli_1.0_{}.jsonl",), snli_jsonl, pool=True),
            Layout(("snli_1.0_{}.txt",), snli_table, pool=True),
            Layout(("{}.jsonl",), snli_jsonl, pool=True),
            Layout(("{}.txt",), plain),
        ),
    ),
    # Yahoo answers with their topics, 100,000 / 10,000 / 10,000
    "yahoo": NamedCorpus(
        PrepareOptions(vocab_size=20_000, lowercase=True),
        (
            Layout(("yahoo.{}.txt",), labelled),
            Layout(("{}.txt",), labelled),
            Layout(("{}.tsv",), labelled),
            Layout(("{}.csv",), answers_csv, pool=True, raw=True),
        ),
    ),
    # Short Yelp review sentences with their sentiment, 100,000 / 10,000 / 10,000
    "yelp": NamedCorpus(
        PrepareOptions(vocab_size=20_000, lowercase=True),
        (
            Layout(("short_yelp.{}.txt",), sentiment),
            Layout(("yelp.{}.txt",), sentiment),
            Layout(("{}.tsv",), sentiment),
            Layout(("{}.txt",), sentiment),
            Layout(("sentiment.{}.0", "sentiment.{}.1"), polarity, pool=True),
        ),
    ),
}

"""`sritool classify`: what codes tell of the classes of sentences, without labels and with few."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from sritool.cli.options.files import FILES_PANEL, DataDirOpt, OutputOptions
from sritool.cli.options.measurement import BATCH_SIZE, BatchSizeOpt, SeedOpt
from sritool.cli.options.models import ModelsOptions
from sritool.cli.render import emit_all, panels
from sritool.cli.tables.classification import accuracy_table, confusion_tables
from sritool.cli.tables.metrics import FOR_PEOPLE
from sritool.errors import UsageError

if TYPE_CHECKING:
    from sritool.analysis.classification import Classification
    from sritool.analysis.classification_plan import Request

DATA = "Labelled sentences"
HOW = "Classifiers"
TABLES = (".tsv", ".csv", ".jsonl", ".ndjson", ".txt")  # endings that no checkpoint has


def data_option(name: str, text: str, metavar: str = "FILE") -> Any:
    return typer.Option(f"--{name}", metavar=metavar, help=text, show_default=False, rich_help_panel=DATA)


def classify(
    *,
    models: ModelsOptions,
    labelled: Annotated[
        list[str] | None,
        data_option(
            "labelled",
            "Learn from these labels: label<TAB>text, or .csv and .jsonl with a label; files of one size count as "
            "draws. Without it, draws from train.",
            "FILE…",
        ),
    ] = None,
    test: Annotated[
        Path | None, data_option("test", "Labelled test sentences, in place of the corpus' own.")
    ] = None,
    valid: Annotated[
        Path | None, data_option("valid", "Labelled sentences that name the clusters, likewise.")
    ] = None,
    train: Annotated[
        Path | None, data_option("train", "Sentences to cluster, and to draw labels from, likewise.")
    ] = None,
    labels: Annotated[
        str | None,
        typer.Option(
            metavar="N,…",
            help="How many labels to learn from; 0 for clusters.",
            show_default="0,100,1000,10000, as far as there are; with --labelled the whole files",
            rich_help_panel=DATA,
        ),
    ] = None,
    draws: Annotated[
        int, typer.Option(min=1, help="Draws of labels, and seeds of the clusters.", rich_help_panel=DATA)
    ] = 5,
    zero: Annotated[
        bool | None,
        typer.Option(
            "--zero/--no-zero",
            help="Cluster without labels, or do not.",
            show_default="yes, unless --labels are given without 0",
            rich_help_panel=DATA,
        ),
    ] = None,
    train_sentences: Annotated[
        int, typer.Option(min=2, help="Sentences of train to cluster.", rich_help_panel=DATA)
    ] = 10_000,
    limit: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="At most so many sentences of train, valid and test each.",
            show_default="all of valid and test",
            rich_help_panel=DATA,
        ),
    ] = None,
    deduplicate: Annotated[
        bool,
        typer.Option(
            "--deduplicate/--keep-duplicates",
            help="Leave out sentences of train, valid and labelled files that are in test too.",
            rich_help_panel=DATA,
        ),
    ] = False,
    text_key: Annotated[
        str | None,
        typer.Option(help="Column or key of the text.", show_default="the usual names", rich_help_panel=DATA),
    ] = None,
    label_key: Annotated[
        str | None,
        typer.Option(
            help="Column or key of the label.", show_default="the usual names", rich_help_panel=DATA
        ),
    ] = None,
    chains: Annotated[
        int,
        typer.Option(
            min=1, help="Codes that a mean is taken of; an encoder has its own.", rich_help_panel=HOW
        ),
    ] = 5,
    kernel: Annotated[
        Literal["linear", "rbf"],
        typer.Option(help="Of the support vector machine; rbf is slow.", rich_help_panel=HOW),
    ] = "linear",
    pca: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Cluster so many principal components; the authors take 4.",
            show_default="all dimensions",
            rich_help_panel=HOW,
        ),
    ] = None,
    naming: Annotated[
        Literal["hungarian", "authors"],
        typer.Option(
            help="Clusters get the names that make most of valid right, or the label of their most confident "
            "sentence each.",
            rich_help_panel=HOW,
        ),
    ] = "hungarian",
    confusion: Annotated[
        bool,
        typer.Option(
            "--confusion",
            help="Print which class is taken for which: below the accuracies, or in TSV, CSV and JSON instead.",
            rich_help_panel=FILES_PANEL,
        ),
    ] = False,
    seed: SeedOpt = 0,
    batch_size: BatchSizeOpt = BATCH_SIZE,
    data_dir: DataDirOpt = Path("data"),
    output: OutputOptions,
) -> None:
    """Classify sentences by their codes: accuracy on test without labels, and with few.

    sritool classify runs/yelp-sri runs/yelp-vae-fb --labels 0,100,1000

    sritool classify --labelled labelled-100.tsv labelled-1000.tsv --valid valid.tsv --test test.tsv

    A code is the mean of a sentence's chains. 0 labels: a mixture of Gaussians on codes of train, as many as there
    are classes, named by valid. Else a support vector machine, whose cost comes from cross-validation within the
    labels. Two rows give the scale: the commonest class of test, and the same labels with words in place of codes
    (TF-IDF and a linear support vector machine).

    Only sentences that take part are encoded, and their codes kept in latents/ beside each checkpoint: a command
    that was stopped goes on where it was, and another one on the same sentences has them at once.
    """
    from sritool.analysis import classification as task
    from sritool.analysis.classification_plan import Request
    from sritool.data.columns import Columns

    form = output.format()
    checkpoints, files = sorted_out(models.checkpoints, labelled)
    request = Request(
        labelled=files,
        train=train,
        valid=valid,
        test=test,
        columns=Columns(text_key, label_key),
        counts=None if labels is None else counts_of(labels),
        zero=zero,
        draws=draws,
        train_sentences=train_sentences,
        limit=limit,
        deduplicate=deduplicate,
        chains=chains,
        components=pca,
        naming=naming,
        kernel=kernel,
        seed=seed,
        batch_size=batch_size,
        data_dir=data_dir,
    )
    check_used(request)
    where = models.open_device()
    paths = replace(models, checkpoints=checkpoints).find("classifying with")
    with output.progress("what is encoded is kept; the same command goes on from there") as report:
        found = task.classify(paths, request, where, report)
    show(found, form, confusion)


def check_used(request: Request) -> None:
    """Raises: UsageError for what is given and would have no effect."""
    from sritool.analysis.classification_plan import wants_draws, wants_zero

    for_clusters: dict[str, object] = {"valid": request.valid, "pca": request.components}
    if request.labelled:
        for_clusters["train"] = request.train
    kernel = request.kernel if request.kernel != "linear" else None
    for_labels = {"labelled": request.labelled or None, "kernel": kernel}
    given = [name for name, value in for_clusters.items() if value is not None]
    if given and not wants_zero(request):
        raise UsageError(f"--{given[0]} is for clusters, and there are none; leave it out, or give --zero")
    given = [name for name, value in for_labels.items() if value is not None]
    if given and not wants_draws(request):
        raise UsageError(
            f"--{given[0]} is for learning from labels, and --labels 0 has none; leave one of them out"
        )


def sorted_out(
    checkpoints: Sequence[Path] | None, labelled: Sequence[str] | None
) -> tuple[list[Path], tuple[Path, ...]]:
    """Checkpoints and labelled files: of `--labelled a.tsv b.tsv` the parser takes the second for a checkpoint."""
    given = list(checkpoints or ())
    stray = [path for path in given if path.suffix.lower() in TABLES]
    if stray and not labelled:
        raise UsageError(f"{stray[0]} is no checkpoint; give labelled sentences with --labelled")
    files = (*(Path(name) for name in labelled or ()), *stray)
    return [path for path in given if path not in stray], files


def counts_of(text: str) -> tuple[int, ...]:
    """`0,100,1000` as numbers."""
    try:
        counts = tuple(sorted({int(part) for part in text.replace("_", "").split(",")}))
    except ValueError:
        raise UsageError(f"--labels {text!r} is no list of numbers; write for example 0,100,1000") from None
    if counts[0] < 0:
        raise UsageError(f"--labels {text!r} has a number below 0; write for example 0,100,1000")
    return counts


def show(found: Classification, form: str, confusion: bool) -> None:
    """The accuracies, the confusions beside them for people and instead for programs."""
    if confusion and form not in FOR_PEOPLE:
        emit_all(confusion_tables(found, form), form)
        return
    tables = panels(accuracy_table(found, form), form)
    emit_all([*tables, *(confusion_tables(found, form) if confusion else [])], form)

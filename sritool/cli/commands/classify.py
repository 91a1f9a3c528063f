"""`sritool classify`: classifies sentences by their codes, without labels and with few."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Literal

import typer

from sritool.cli.formats import FOR_PEOPLE
from sritool.cli.options.files import DataDirOpt, OutputOptions, column_option, file_option
from sritool.cli.options.measurement import BATCH_SIZE, CHAINS_NEEDED, BatchSizeOpt, SeedOpt
from sritool.cli.options.models import CheckpointsOptions
from sritool.cli.options.processes import ProcessOptions
from sritool.cli.options.values import counts
from sritool.cli.render import emit_all, panels
from sritool.cli.signatures import in_panel, refuse_idle
from sritool.cli.streams import announce_stdin
from sritool.cli.tables.classification import accuracy_table, confusion_tables
from sritool.errors import UsageError

data_option = in_panel("Labelled sentences")
classifier_option = in_panel("Classifiers")


def classify(
    ctx: typer.Context,
    *,
    device: ProcessOptions,
    models: CheckpointsOptions,
    labelled: Annotated[list[str] | None, data_option(metavar="FILE…")] = None,
    test: Annotated[Path | None, data_option(metavar="FILE")] = None,
    valid: Annotated[Path | None, data_option(metavar="FILE")] = None,
    train: Annotated[Path | None, data_option(metavar="FILE")] = None,
    labels: Annotated[str | None, data_option(metavar="N,…")] = None,
    draws: Annotated[int, data_option(min=1)] = 5,
    zero: Annotated[bool | None, data_option("--zero/--no-zero")] = None,
    train_sentences: Annotated[int, data_option(min=2)] = 10_000,
    limit: Annotated[int | None, data_option(min=1)] = None,
    deduplicate: Annotated[bool, data_option("--deduplicate/--keep-duplicates")] = False,
    text_key: Annotated[str | None, column_option("text", data_option)] = None,
    label_key: Annotated[str | None, column_option("label", data_option)] = None,
    chains: Annotated[int | None, classifier_option(min=1)] = None,
    chain_dropout: Annotated[bool, classifier_option("--chain-dropout/--no-chain-dropout")] = False,
    standardize: Annotated[bool, classifier_option("--standardize/--no-standardize")] = True,
    kernel: Annotated[Literal["linear", "rbf"], classifier_option()] = "linear",
    pca: Annotated[int | None, classifier_option(min=1)] = None,
    naming: Annotated[Literal["hungarian", "authors"], classifier_option()] = "hungarian",
    confusion: Annotated[bool, file_option("--confusion")] = False,
    seed: SeedOpt = 0,
    batch_size: BatchSizeOpt = BATCH_SIZE,
    data_dir: DataDirOpt = Path("data"),
    output: OutputOptions,
) -> None:
    """Classify sentences by their codes: accuracy on test, without labels and with few.

    sritool classify runs/yelp-sri runs/yelp-vae-fb --labels 0,100,1000

    sritool classify --labelled labelled-100.tsv labelled-1000.tsv --valid valid.tsv --test test.tsv

    A code is the mean of q(z|x) of a sentence, as from encode --mean. Without labels (0), a mixture of Gaussians, one
    per class, is fitted to the codes of train, and valid names its clusters. With labels, a support vector machine
    learns from them; cross-validation chooses its cost. Two rows are baselines: the commonest class of test, and the
    same labels with words in place of codes (TF-IDF and a linear support vector machine).

    Only the sentences that are used are encoded. Their codes are kept in latents/ beside each checkpoint: a stopped
    command continues where it was, and another one on the same sentences reuses them.

    Args:
        labelled: Learn from the labels in these files: label<TAB>text, or .csv and .jsonl with a label. Files of
            the same size count as draws. By default, labels are drawn from train.
        test: Labelled test sentences, in place of the corpus' own.
        valid: Labelled sentences that name the clusters, in place of the corpus' own.
        train: Sentences to cluster and to draw labels from, in place of the corpus' own.
        labels: How many labels to learn from; 0 for clusters. [default: 0,100,1000,10000, up to all of them or
            --limit; with --labelled the whole files]
        draws: Number of draws of labels, and of seeds for the clusters.
        zero: Cluster without labels, or not. [default: yes, unless --labels are given without 0]
        train_sentences: Number of train sentences to cluster.
        limit: Use at most this many sentences of each of train, valid and test; --labels draws from all of train.
            [default: all of valid and test]
        deduplicate: Leave out sentences of train, valid and labelled files that are in test too.
        chains: Take the mean of this many draws of the chain as a sentence's code; an encoder gives its own mean.
            [default: the end of a chain without noise]
        chain_dropout: Drop word features in the steps of these chains, as in training. The authors' code does so.
        standardize: First scale every dimension of the codes to mean 0 and variance 1. The authors' code does not.
        kernel: Kernel of the support vector machine; rbf is slow.
        pca: Cluster this many principal components; the authors use 4. [default: all dimensions]
        naming: How clusters get their names. hungarian: so that accuracy on valid is highest. authors: the label of
            each cluster's most confident sentence.
        confusion: Print the confusion matrix: below the accuracies, or in TSV, CSV and JSON instead of them.
    """
    from sritool.analysis import classification as task
    from sritool.analysis.classification_data import Request
    from sritool.data.fields import FieldNames

    form = output.format()
    checkpoints, files = checkpoints_and_files(models.checkpoints, labelled)
    request = Request(
        labelled=files,
        train=train,
        valid=valid,
        test=test,
        columns=FieldNames(text_key, label_key),
        counts=None if labels is None else tuple(sorted(counts(labels, "--labels"))),
        zero=zero,
        draws=draws,
        train_sentences=train_sentences,
        limit=limit,
        deduplicate=deduplicate,
        chains=chains,
        chain_dropout=chain_dropout,
        standardize=standardize,
        components=pca,
        naming=naming,
        kernel=kernel,
        seed=seed,
        batch_size=batch_size,
        data_dir=data_dir,
    )
    for_clusters = ["valid", "pca", "naming", "train_sentences", *(["train"] if request.labelled else [])]
    no_clusters = "{} is for clusters, but there are none; leave it out, or give --zero"
    no_files = "{} is for the files of --labelled, --train, --valid and --test; leave it out"
    no_labels = "{} is for learning from labels, but --labels 0 has none; leave one of them out"
    rules = (
        (not request.wants_clusters, for_clusters, no_clusters),
        (not request.wants_labels, ("labelled", "kernel"), no_labels),
        (not (files or train or valid or test), ("text_key", "label_key"), no_files),
        (chain_dropout and chains is None, ("chain_dropout",), CHAINS_NEEDED),
    )
    refuse_idle(ctx, rules)
    for path in (*files, train, valid, test):
        announce_stdin(path, "label<TAB>text")
    with device.measuring() as where:
        paths = replace(models, checkpoints=checkpoints).find("classifying with")
        with output.progress("finished codes are kept; the same command continues from there") as report:
            found = task.classify(paths, request, where, report)
        # The confusion matrix is below the accuracies for people, and instead of them for programs.
        parts = [] if confusion and form not in FOR_PEOPLE else panels(accuracy_table(found, form), form)
        emit_all([*parts, *(confusion_tables(found, form) if confusion else [])], form)


def checkpoints_and_files(
    checkpoints: Sequence[Path] | None, labelled: Sequence[str] | None
) -> tuple[list[Path], tuple[Path, ...]]:
    """Tell checkpoints from labelled files: in `--labelled a.tsv b.tsv` the parser takes b.tsv for a checkpoint."""
    from sritool.data.file_names import SUFFIXES, suffix_of  # endings that no checkpoint has

    given = list(checkpoints or ())
    stray = [path for path in given if suffix_of(path) in SUFFIXES]
    if stray and not labelled:
        raise UsageError(f"{stray[0]} is not a checkpoint; give labelled sentences with --labelled")
    files = (*(Path(name) for name in labelled or ()), *stray)
    return [path for path in given if path not in stray], files

"""Weights that a new run takes from another run's checkpoint, of any method and vocabulary, and word vectors.

Rows of words are matched by word, or by piece of a SentencePiece model. All other weights are copied unchanged. Only
the weights of z may have another size, and are then drawn anew.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sritool.config.settings import RunConfig
from sritool.data.split import Split
from sritool.data.store import Corpus
from sritool.data.tokenizer import FIRST_PREDICTED, PAD, UNK, Tokenizer
from sritool.data.word_vectors import read_vectors, vector_width
from sritool.errors import UsageError
from sritool.files import digest_of
from sritool.methods.base import Method
from sritool.methods.lm import LanguageModel
from sritool.model.generator import LATENT_MAPS
from sritool.runs.checkpoint import Checkpoint, load_checkpoint
from sritool.runs.weights import method_without_memory
from sritool.training.pretraining import continue_from_encoder, take_encoder

SIZES = {
    "embedding": "embedding",
    "hidden": "recurrence and output",
    "layers": "recurrence",
    "residual": "output",
    "tied_embeddings": "output",
}
"""Setting of the generator -> the parts whose shape depends on it."""
_FIRST_ID = {
    "generator.embedding": 0,
    "generator.output": FIRST_PREDICTED,
    "generator.output_bias": FIRST_PREDICTED,
    "encoder.embedding": 0,
}
"""Parameter with a row for each word -> the id of the word in the first row."""
_OF_CODE = "generator.latent_to_gates"
_STATISTICS = {"preconditioner.fisher": "the preconditioner", "word_mass.mass": "the words' mass"}


class Rows(NamedTuple):
    """Pairs of ids of the same words in two vocabularies."""

    new: NDArray[np.int64]  # ids in the new run
    old: NDArray[np.int64]  # ids of the same words in the other run
    words: int  # in the new vocabulary, without the special ones
    found: int  # of these, in the other vocabulary too


def begin_from_files(method: Method, corpus: Corpus, train: Split) -> list[str]:
    """Replace random weights by given ones, and store the digest of their file in the settings.

    Returns:
        A line on each file that was used.
    """
    config, lines = method.config, []
    settings = config.warm_start
    file = settings.embeddings or settings.checkpoint or config.pretraining.encoder
    if settings.embeddings:
        lines.append(take_vectors(method, Path(file), corpus.tokenizer, train))
    if config.pretraining.encoder and method.pretrains:
        take_encoder(method, Path(config.pretraining.encoder), corpus)
        continue_from_encoder(method)
        lines.append(f"took over the encoder of {config.pretraining.encoder}")
    elif settings.checkpoint:
        line = take_over(method, Path(file), corpus.tokenizer)
        line += f"; {method.name} is not trained as an autoencoder first" if method.pretrains else ""
        lines.append(line)
    digest = digest_of(Path(file)) if lines else settings.digest
    method.config = replace(config, warm_start=replace(settings, digest=digest))
    return lines


def sizes_of(given: Checkpoint, method: str) -> dict[str, object]:
    """Return the default sizes of a run that takes the weights of `given`, so that they fit."""
    theirs = given.config.generator
    sizes: dict[str, object] = {name: getattr(theirs, name) for name in SIZES}
    if theirs.latent and method != LanguageModel.name:
        sizes["latent"] = theirs.latent
    if theirs.code_bias:
        sizes["code_bias"] = True
    return sizes


def matching_rows(tokenizer: Tokenizer, old: Tokenizer) -> Rows:
    """Match two vocabularies, word by word or piece by piece; the special ones always match."""
    place = {word: index for index, word in enumerate(old.vocabulary()) if index > UNK}
    words = tokenizer.vocabulary()
    pairs = [(index, index) for index in range(UNK + 1)]
    pairs += [(index, place[word]) for index, word in enumerate(words) if index > UNK and word in place]
    new, theirs = np.array(pairs, dtype=np.int64).T
    return Rows(new, theirs, len(words) - UNK - 1, len(pairs) - UNK - 1)


@torch.no_grad()
def take_over(method: Method, path: Path, tokenizer: Tokenizer) -> str:
    """Copy weights of a checkpoint into a method whose parameters have been drawn.

    Returns:
        The parts that were copied and those that are new, in one line.

    Raises:
        CheckpointError: The checkpoint cannot be read.
        UsageError: Its parts have other shapes, or one of the two uses words and the other pieces.
    """
    given = load_checkpoint(path)
    method_without_memory(given, path)
    check_fit(given, path, method.config, tokenizer)
    rows = matching_rows(tokenizer, given.tokenizer)
    taken: list[str] = []
    anew: list[str] = []
    for name, tensor in method.modules.state_dict().items():
        if tensor.numel():  # without z, its maps are empty
            theirs = given.weights.get(name)
            (taken if theirs is not None and _copied(name, tensor, theirs, rows) else anew).append(name)
    return _in_a_line(given, path, rows, taken, anew)


def check_fit(given: Checkpoint, path: Path, config: RunConfig, tokenizer: Tokenizer) -> None:
    """Refuse a checkpoint, read from `path`, whose weights do not fit a run.

    Raises:
        UsageError: Its parts have other shapes, or one of the two uses words and the other pieces.
    """
    kinds = given.tokenizer.kind, tokenizer.kind
    if (kinds[0] == "word") != (kinds[1] == "word"):
        before, ours = ("words" if kind == "word" else f"{kind} pieces" for kind in kinds)
        raise UsageError(
            f"{path} was trained on {before}, and this corpus is cut into {ours}; "
            f"prepare the text with: sritool preprocess FILE --like {path}"
        )
    theirs, wanted = given.config.generator, config.generator
    differing = [
        f"{part} ({name} {str(getattr(theirs, name)).lower()}, not {str(getattr(wanted, name)).lower()})"
        for name, part in SIZES.items()
        if getattr(wanted, name) != getattr(theirs, name)
    ]
    if differing:
        raise UsageError(
            f"parts of {path} have another shape: {', '.join(differing)}; leave these sizes out, and the run takes "
            "those of the checkpoint"
        )


def _copied(name: str, tensor: Tensor, theirs: Tensor, rows: Rows) -> bool:
    """Copy one tensor if it can be used; return False if it stays as drawn."""
    first = _FIRST_ID.get(name)
    if first is not None:
        has_row = rows.new >= first
        ours, other = (torch.from_numpy(ids[has_row] - first) for ids in (rows.new, rows.old))
        tensor[ours] = theirs[other].to(tensor)
        return True
    other_words = rows.found < rows.words or not np.array_equal(rows.new, rows.old)
    if tensor.shape != theirs.shape or (name == "word_mass.mass" and other_words):
        return False  # weights of z with another size; statistics over other words
    if name.endswith(LATENT_MAPS) and not theirs.any():
        return False  # z had not begun
    tensor.copy_(theirs)
    return True


def _in_a_line(given: Checkpoint, path: Path, rows: Rows, taken: list[str], anew: list[str]) -> str:
    corpus, config = given.corpus.name, given.config
    parts = [f"{rows.found:,} of {rows.words:,} words", "the recurrence"]
    parts += ["the maps of z"] if _OF_CODE in taken else []
    parts += ["the encoder"] if "encoder.recurrent" in taken else []
    parts += [label for name, label in _STATISTICS.items() if name in taken]
    new = ["other words"] if rows.found < rows.words else []
    if _OF_CODE in anew:
        width = config.generator.latent
        new.append(f"the maps of z, as {f'z had {width} dimensions' if width else 'there was no z'}")
    elif "encoder.to_code" in anew and "encoder.recurrent" in taken:
        new.append("the maps of z")
    new += ["the encoder"] if "encoder.recurrent" in anew else []
    line = f"taken over from {path} ({config.method} on {corpus}): {', '.join(parts)}"
    line += f"; new: {', '.join(new)}" if new else ""
    if 2 * rows.found < rows.words:
        line += f" (for more words, prepare the text with: sritool preprocess FILE --like {path})"
    return line


@torch.no_grad()
def take_vectors(method: Method, path: Path, tokenizer: Tokenizer, train: Split) -> str:
    """Replace the embeddings of words or pieces by the pretrained vectors in a file.

    Returns:
        The share of words and of the training text that have a vector, in one line.

    Raises:
        DataError: The file cannot be read, or a line is damaged.
        UsageError: Its vectors do not have the width of the embeddings.
    """
    width, wanted = vector_width(path), method.config.generator.embedding
    if width != wanted:
        raise UsageError(
            f"{path} has vectors of {width} numbers, and the embeddings have {wanted}; give --embedding {width}, or "
            "leave it out"
        )
    words = {word: index for index, word in enumerate(tokenizer.vocabulary()) if index != PAD}
    ids, vectors = read_vectors(path, words)
    for name, parameter in method.modules.named_parameters():
        if name.endswith(".embedding"):
            parameter[torch.from_numpy(ids)] = torch.from_numpy(vectors).to(parameter)
    counts = train.counts(len(tokenizer))
    tokens, types, found = counts[UNK:].sum(), len(tokenizer) - UNK - 1, int((ids > UNK).sum())
    covered = counts[ids[ids >= UNK]].sum()
    line = (
        f"vectors of {path}: {found:,} of {types:,} words ({found / max(types, 1):.1%}), "
        f"{covered / max(tokens, 1):.1%} of the training text"
    )
    if found < types and {"embedding", "generator"} & set(method.config.optimizer.freeze):
        line += "; the other words stay random, as --freeze keeps them"
    return line

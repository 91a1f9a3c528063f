"""From a text to codes; order and number are kept."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np

from sritool.analysis.code_files import Floats
from sritool.evaluation.posterior_codes import CodeSettings, codes_of_split
from sritool.evaluation.sentences import read_text
from sritool.runs.model import Report, TrainedModel


class Encoded(NamedTuple):
    """A text's sentences and their codes."""

    sentences: list[str]
    codes: Floats  # [sentences, rows, latent]; a row is a chain's, or the mean of them all

    @property
    def flat(self) -> Floats:
        """A code a row: [sentences · rows, latent], the rows of a sentence together."""
        return self.codes.reshape(-1, self.codes.shape[-1])

    def beside(self, with_text: bool) -> dict[str, list[object]]:
        """What tells the rows of `flat` apart: line and chain, from 1, where a line has several; the sentence."""
        count, rows, _ = self.codes.shape
        columns: dict[str, list[object]] = {}
        if rows > 1:
            columns["line"] = [line + 1 for line in range(count) for _ in range(rows)]
            columns["chain"] = [chain + 1 for _ in range(count) for chain in range(rows)]
        if with_text:
            columns["sentence"] = [text for text in self.sentences for _ in range(rows)]
        return columns


def encode_text(
    model: TrainedModel, text: Path, how: CodeSettings, batch_size: int, report: Report
) -> Encoded:
    """Codes of every line of a file or "-", an empty line too; those of a long text are kept on the disk.

    Raises: UsageError if the model has no z; DataError if the text cannot be read.
    """
    model.require_latent("encode")
    lines = read_text(text).lines
    split = model.split(lines)
    return Encoded(lines, codes_of_split(model, split, np.arange(len(split)), how, batch_size, report))

"""The figures of the paper, each with its place in the paper.

Source: B. Pang, E. Nijkamp, T. Han, Y. N. Wu, "Generative Text Modeling through Short Run Inference", EACL 2021.
docs/likelihood.md explains how the paper estimates perplexity, KL and active units, and how sritool does.
"""

from __future__ import annotations

from typing import NamedTuple

SOURCE = "Pang et al. 2021"

NAMES = {
    "lm": "LSTM-LM",
    "ae": "AE",
    "vae-anneal": "Anneal-VAE",
    "vae-cyclical": "Cyclical-VAE",
    "vae-lagging": "Lagging-VAE",
    "sa-vae": "SA-VAE",
    "vae-fbp": "FBP-VAE",
    "vae-fb": "FB-VAE",
    "sri": "SRI",
}
"""Method -> its name in the paper, in the order of the paper's rows."""


class Published(NamedTuple):
    """A figure of the paper."""

    value: float
    source: str  # like `Table 1, SRI, PTB PPL`


_CORPORA = {"ptb": "PTB", "snli": "SNLI", "yahoo": "Yahoo"}
_COLUMNS = {"ppl": "PPL", "recon": "Recon", "au": "AU", "kl": "KL"}

# Method -> PPL, Recon, AU and KL on PTB, then on SNLI, then on Yahoo.
_TABLE_1: dict[str, tuple[float | None, ...]] = {
    "lm": (100.47, None, None, None, 21.44, None, None, None, 60.75, None, None, None),
    "vae-anneal": (101.40, 101.28, 0, 0.00, 21.50, 31.66, 2, 1.42, 61.52, 329.10, 0, 0.00),
    "vae-cyclical": (108.97, 101.85, 5, 1.37, 21.62, 30.89, 4, 2.36, 66.93, 333.80, 0, 2.83),
    "vae-lagging": (99.83, 100.26, 4, 0.93, 21.16, 31.53, 5, 1.42, 59.77, 322.70, 15, 5.70),
    "sa-vae": (100.39, 100.97, 5, 1.86, 21.49, 30.12, 5, 2.34, 63.92, 327.27, 17, 7.23),
    "vae-fbp": (99.62, 98.52, 3, 2.95, 21.46, 31.04, 3, 2.12, 62.88, 328.13, 2, 3.06),
    "vae-fb": (96.35, 94.52, 32, 8.15, 22.00, 23.36, 32, 8.48, 59.51, 315.31, 32, 15.02),
    "sri": (94.26, 91.14, 32, 10.13, 21.21, 22.24, 32, 10.02, 57.05, 311.23, 32, 16.19),
}

# Method -> nats per sentence after 1 to 4 swaps, SNLI.
_TABLE_4 = {
    "ae": (26.05, 40.46, 52.77, 63.07),
    "vae-anneal": (32.20, 32.65, 33.12, 33.39),
    "vae-cyclical": (31.83, 32.87, 33.73, 34.38),
    "vae-lagging": (31.78, 31.99, 32.21, 32.32),
    "sa-vae": (31.63, 31.82, 32.15, 32.46),
    "vae-fbp": (29.93, 32.59, 34.90, 36.77),
    "vae-fb": (27.92, 29.12, 30.03, 30.85),
    "sri": (27.12, 28.66, 30.21, 30.46),
}

LABELS = (0, 100, 1000, 10_000)
"""Numbers of labels in Table 5."""

# Method -> accuracy in % for each of LABELS, Yelp.
_TABLE_5 = {
    "ae": (53.1, 78.8, 83.7, 84.1),
    "vae-anneal": (56.3, 59.2, 62.3, 65.8),
    "vae-cyclical": (59.9, 78.6, 82.7, 83.2),
    "vae-lagging": (63.6, 65.8, 74.2, 80.5),
    "sa-vae": (62.6, 69.3, 78.8, 81.4),
    "vae-fbp": (60.9, 74.8, 76.9, 81.1),
    "vae-fb": (67.5, 84.9, 89.5, 90.6),
    "sri": (73.3, 85.8, 89.6, 90.8),
}


def recon_after(swaps: int) -> str:
    """Return the name of Table 4's figure after so many swaps of words."""
    return f"recon, k = {swaps}"


def accuracy_from(labels: int) -> str:
    """Return the name of Table 5's figure from so many labels."""
    return f"accuracy, {labels:,} labels"


def published(table: str, corpus: str, method: str, metric: str) -> Published | None:
    """Return the paper's figure, or None if it has none, for example on another corpus.

    A table name is like `table1`; a metric is like `ppl`, or a name from `recon_after` or `accuracy_from`.
    """
    rows: dict[str, tuple[float | None, ...]] = {}
    if table == "table1" and corpus in _CORPORA:
        first = 4 * list(_CORPORA).index(corpus)
        rows = {name: row[first : first + 4] for name, row in _TABLE_1.items()}
        columns = {name: f"{_CORPORA[corpus]} {shown}" for name, shown in _COLUMNS.items()}
    elif table == "table4" and corpus == "snli":
        rows, columns = {**_TABLE_4}, {recon_after(k): f"k = {k}" for k in (1, 2, 3, 4)}
    elif table == "table5" and corpus == "yelp":
        rows, columns = {**_TABLE_5}, {accuracy_from(n): f"{n:,} labels" for n in LABELS}
    if method not in rows or metric not in columns:
        return None
    value, source = rows[method][list(columns).index(metric)], f"Table {table[-1]}, {NAMES[method]}"
    return None if value is None else Published(float(value), f"{source}, {columns[metric]}")

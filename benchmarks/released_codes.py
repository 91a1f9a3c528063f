"""Accuracy of the codes that Pang et al. released for Yelp, with the classifiers of `sritool classify`.

    git clone https://github.com/bpucla/sri_text && python -m benchmarks.released_codes sri_text/cache

Shows how the accuracy without labels varies with the seed of the mixture and with the preprocessing of the codes.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from sritool.analysis.classifiers import Classes, Clusters, Floats, Naming, svm_classes

SETTINGS: tuple[tuple[int | None, bool, Naming], ...] = (
    (4, False, "authors"),  # as in the released code
    (4, False, "hungarian"),
    (4, True, "hungarian"),
    (None, False, "hungarian"),
    (None, True, "hungarian"),
)
"""(principal components, standardised, naming) of the mixtures."""


def main(words: Sequence[str] | None = None) -> int:
    """Print one row per setting."""
    parser = argparse.ArgumentParser("python -m benchmarks.released_codes", description=__doc__)
    parser.add_argument(
        "cache", type=Path, help="the authors' folder, with cache_0_labels/ and cache_100_labels/"
    )
    parser.add_argument("--seeds", type=int, default=10)
    given = parser.parse_args(words)
    (train, _), (valid, named), (test, true) = (
        read(given.cache / "cache_0_labels", part) for part in ("train", "val", "test")
    )
    print("labels\tdimensions\tpca\tstandardised\tnaming\tmean\tsd\tleast\tmost")
    for components, standardize, naming in SETTINGS:
        shares = []
        for seed in range(given.seeds):
            clusters = Clusters(train, 2, seed, components, standardize)
            names = clusters.names(valid, named, naming)
            shares.append(100 * (names[clusters.probabilities(test).argmax(1)] == true).mean())
        spread = (np.mean(shares), np.std(shares, ddof=1), min(shares), max(shares))
        how = (0, train.shape[1], components or "all", standardize, naming)
        print(*how, *(f"{figure:.1f}" for figure in spread), sep="\t", flush=True)
    (few, labels), (test, true) = (read(given.cache / "cache_100_labels", part) for part in ("train", "test"))
    for standardize in (False, True):
        predicted = svm_classes(few, labels, test, "linear", 0, standardize)
        share = f"{100 * (predicted == true).mean():.1f}"
        print(len(labels), few.shape[1], "all", standardize, "", share, "", "", "", sep="\t")
    return 0


def read(folder: Path, part: str) -> tuple[Floats, Classes]:
    """Read codes [n, latent] and classes [n] from batches as the authors saved them."""
    codes = torch.load(folder / f"{part}_data_batch_cache_1", map_location="cpu", weights_only=True)
    labels = torch.load(folder / f"{part}_labels_batch_cache_1", weights_only=True)
    classes = np.array([int(label) for batch in labels for label in batch])
    return torch.cat(codes).numpy(), classes


if __name__ == "__main__":
    sys.exit(main())

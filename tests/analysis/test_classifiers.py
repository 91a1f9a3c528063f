"""Classifiers on codes: cluster names by hand, intervals by definition, cross-validation without leaks."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from sritool.analysis import classifiers as classification
from sritool.analysis.classifiers import (
    Clusters,
    confusion,
    name_by_confidence,
    name_clusters,
    svm_classes,
    wilson,
    word_classes,
)


def gaussians(
    centres: list[list[float]], count: int, seed: int, spread: float = 0.3
) -> tuple[np.ndarray, np.ndarray]:
    """Codes around centres in random order, and the centre of each."""
    random = np.random.default_rng(seed)
    labels = random.permutation(np.repeat(np.arange(len(centres)), count))
    codes = np.array(centres)[labels] + spread * random.normal(size=(len(labels), len(centres[0])))
    return codes.astype(np.float32), labels


TWO = [[2.0, 0.0, 0.0], [-2.0, 0.0, 0.0]]
THREE = [[4.0, 0.0], [-4.0, 0.0], [0.0, 5.0]]


def test_wilson_by_hand() -> None:
    # 8 of 10: (0.8 + z²/20 ± z √(0.8·0.2/10 + z²/400)) / (1 + z²/10), z = 1.96
    assert wilson(8, 10) == pytest.approx((0.4902, 0.9433), abs=1e-4)
    assert wilson(0, 10) == pytest.approx((0.0, 0.2775), abs=1e-4)
    assert wilson(10, 10) == pytest.approx((1 - 0.2775, 1.0), abs=1e-4)


@pytest.mark.parametrize(("right", "count"), [(3, 7), (61, 100), (6050, 10_000)])
def test_wilson_bounds_are_1_96_errors_away(right: int, count: int) -> None:
    share = right / count
    for bound in wilson(right, count):
        assert abs(share - bound) / math.sqrt(bound * (1 - bound) / count) == pytest.approx(
            1.959964, rel=1e-6
        )


def test_confusion_counts() -> None:
    table = confusion(np.array([0, 0, 1, 2, 2, 2]), np.array([0, 1, 1, 0, 2, 2]), 3)
    assert table.tolist() == [[1, 1, 0], [0, 1, 0], [1, 0, 2]]


def test_confident_naming_can_fail_where_the_best_does_not() -> None:
    # Cluster 0 holds four sentences of class 1 and, as its most typical, one of class 0; cluster 1 three of class 0.
    first = np.array([0.99, 0.9, 0.9, 0.8, 0.8, 0.1, 0.2, 0.3])
    probabilities = np.stack([first, 1 - first], axis=1)
    labels = np.array([0, 1, 1, 1, 1, 0, 0, 0])
    assert name_by_confidence(probabilities, labels).tolist() == [0, 0]
    assert name_clusters(probabilities.argmax(1), labels, 2).tolist() == [1, 0]


def test_best_naming_is_best_of_all_permutations() -> None:
    random = np.random.default_rng(0)
    for _ in range(20):
        clusters, labels = random.integers(0, 4, 30), random.integers(0, 4, 30)
        names = name_clusters(clusters, labels, 4)
        assert sorted(names) == [0, 1, 2, 3]
        every = [int((np.array(p)[clusters] == labels).sum()) for p in itertools.permutations(range(4))]
        assert int((names[clusters] == labels).sum()) == max(every)


def test_empty_cluster_gets_the_remaining_name() -> None:
    assert name_clusters(np.array([0, 0, 2]), np.array([2, 2, 1]), 3).tolist() == [2, 0, 1]


@pytest.mark.parametrize("centres", [TWO, THREE])
@pytest.mark.parametrize("naming", ["hungarian", "authors"])
def test_clusters_recover_distant_gaussians(centres: list[list[float]], naming: str) -> None:
    train, _ = gaussians(centres, 60, 1)
    valid, named = gaussians(centres, 20, 2)
    test, true = gaussians(centres, 40, 3)
    for shift in range(len(centres)):  # whatever numbers the classes have
        labels = (named + shift) % len(centres)
        clusters = Clusters(train, len(centres), seed=shift)
        found = clusters.names(valid, labels, naming)[clusters.probabilities(test).argmax(1)]
        assert (found == (true + shift) % len(centres)).all()


def test_standardisation_and_pca_of_clusters() -> None:
    train, _ = gaussians(TWO, 100, 1)
    test, true = gaussians(TWO, 40, 2)

    def share(clusters: Clusters, codes: np.ndarray) -> float:
        right = float((clusters.probabilities(codes).argmax(1) == true).mean())
        return max(right, 1 - right)

    scale = np.array([1.0, 1000.0, 0.001], dtype=np.float32)
    assert share(Clusters(train * scale, 2, 0), test * scale) == 1.0
    # Unscaled, the mixture sees only the widest direction, which says nothing about the classes.
    misled = np.array([1.0, 1000.0, 1.0], dtype=np.float32)
    assert share(Clusters(train * misled, 2, 0, 1, standardize=False), test * misled) < 0.7
    assert share(Clusters(train, 2, 0, standardize=False), test) == 1.0
    # Two correlated directions make up the first principal component of standardised codes; the rest is noise.
    twice = np.concatenate([train[:, :1], train], axis=1)
    assert share(Clusters(twice, 2, 0, 1), np.concatenate([test[:, :1], test], axis=1)) == 1.0
    assert Clusters(train, 2, 0, 1).probabilities(test).shape == (80, 2)


@pytest.mark.parametrize("kernel", ["linear", "rbf"])
@pytest.mark.parametrize("centres", [TWO, THREE])
def test_svm_separates_distant_gaussians(kernel: str, centres: list[list[float]]) -> None:
    codes, labels = gaussians(centres, 15, 4)
    test, true = gaussians(centres, 40, 5)
    scale = np.array([1.0, 1e4, 1.0][: len(centres[0])], dtype=np.float32)
    assert (svm_classes(codes * scale, labels, test * scale, kernel, 0) == true).all()


def test_svm_without_standardisation() -> None:
    codes, labels = gaussians(TWO, 15, 4)
    test, true = gaussians(TWO, 40, 5)
    scale = np.array([1e-4, 1.0, 1.0], dtype=np.float32)  # at 1e-4 the informative direction is too costly
    assert (svm_classes(codes * scale, labels, test * scale, "linear", 0) == true).all()
    assert (svm_classes(codes * scale, labels, test * scale, "linear", 0, False) == true).mean() < 0.8


def test_rbf_separates_what_no_plane_can() -> None:
    random = np.random.default_rng(0)
    codes = random.normal(size=(400, 2)).astype(np.float32)
    labels = (codes.prod(1) > 0).astype(np.int64)  # opposite quadrants
    test, true = codes[200:], labels[200:]
    assert (svm_classes(codes[:200], labels[:200], test, "rbf", 0) == true).mean() > 0.9
    assert (svm_classes(codes[:200], labels[:200], test, "linear", 0) == true).mean() < 0.7


def test_single_class_or_sentence_can_be_learnt() -> None:
    codes = np.array([[0.0], [1.0], [1.1]], dtype=np.float32)
    assert svm_classes(codes, np.array([1, 1, 1]), codes, "linear", 0).tolist() == [1, 1, 1]
    assert svm_classes(codes, np.array([2, 0, 0]), codes, "linear", 0).tolist() == [2, 0, 0]
    assert word_classes(["an otter", "", "otters"], np.array([1, 1, 1]), ["a", ""], 0).tolist() == [1, 1]
    assert word_classes(["", " ", ""], np.array([1, 0, 1]), ["a kettle"], 0).tolist() == [1]


def test_bag_of_words_separates_distinct_words() -> None:
    texts = [
        f"the {thing} was {how}" for thing in ("otter", "kettle", "mill") for how in ("fine", "dreadful")
    ]
    labels = np.array([1, 0] * 3)
    assert word_classes(texts, labels, ["a fine lantern", "dreadful , again ?"], 0).tolist() == [1, 0]


def test_scaling_is_fitted_within_each_fold(monkeypatch: pytest.MonkeyPatch) -> None:
    """The scaler is fitted to labelled rows only, and to a fold's training part while C is chosen."""
    from sklearn.preprocessing import StandardScaler

    fitted: list[np.ndarray] = []
    fit = StandardScaler.fit

    def watched(self: StandardScaler, rows: np.ndarray, *args: object, **kwargs: object) -> StandardScaler:
        fitted.append(rows)
        return fit(self, rows, *args, **kwargs)

    monkeypatch.setattr(StandardScaler, "fit", watched)
    codes, labels = gaussians(TWO, 10, 1)
    test = np.full((50, 3), 7.0, dtype=np.float32)
    svm_classes(codes, labels, test, "linear", 0)
    costs = len(classification.COSTS["linear"])
    assert sorted(map(len, fitted)) == [16] * (5 * costs) + [20]
    known = {row.tobytes() for row in codes.astype(np.float64)}
    assert all(row.tobytes() in known for rows in fitted for row in rows)


def test_cost_is_chosen_on_a_subset_of_many_labels(monkeypatch: pytest.MonkeyPatch) -> None:
    from sklearn.model_selection import GridSearchCV

    seen: list[int] = []
    fit = GridSearchCV.fit

    def watched(self: GridSearchCV, rows: np.ndarray, labels: np.ndarray) -> GridSearchCV:
        seen.append(len(rows))
        return fit(self, rows, labels)

    monkeypatch.setattr(GridSearchCV, "fit", watched)
    monkeypatch.setattr(classification, "CHOSEN_ON", 12)
    codes, labels = gaussians(TWO, 10, 1)
    assert (svm_classes(codes, labels, codes, "linear", 0) == labels).all()
    assert seen == [12]


def test_tied_costs_prefer_the_moderate_one() -> None:
    codes = np.array([[-2.0], [-1.5], [1.5], [2.0], [2.5], [3.0]], dtype=np.float32)
    labels = np.array([0, 0, 1, 1, 1, 1])
    near = np.array([[-0.6], [0.8]], dtype=np.float32)
    # With a tiny C, the more frequent class would win everywhere.
    assert svm_classes(codes, labels, near, "linear", 0).tolist() == [0, 1]

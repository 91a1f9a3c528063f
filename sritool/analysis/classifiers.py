"""Predicts classes of sentences from their codes, without labels and with few, and counts how often this is right.

Scaling, vocabulary and C are learnt from the sentences given for fitting alone, never from test sentences.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Classes = NDArray[np.int64]

Kernel = Literal["linear", "rbf"]
Naming = Literal["hungarian", "authors"]
COSTS = {"linear": (1.0, 10.0, 0.1, 100.0, 0.01, 0.001), "rbf": (1.0, 10.0, 0.1)}
"""Candidates for C of the support vector machine, by kernel. The first of equally good ones is taken: few labels
cannot tell them apart, and a C far from 1 fits badly."""

FOLDS = 5
CHOSEN_ON = 2000  # most labelled sentences that C is chosen on: a kernel's cost grows with their square
_NORMAL_95 = 1.959963984540054


class Interval(NamedTuple):
    """Bounds of a share."""

    low: float
    high: float


def wilson(right: float, count: int) -> Interval:
    """Return the 95 % interval of the share `right` / `count` of independent trials.

    Source: Wilson 1927; unlike the normal approximation, it keeps its level near 0 and 1.
    """
    share, square = right / count, _NORMAL_95**2
    centre = (share + square / (2 * count)) / (1 + square / count)
    spread = math.sqrt(share * (1 - share) / count + square / (4 * count**2))
    half = _NORMAL_95 / (1 + square / count) * spread
    return Interval(max(centre - half, 0.0), min(centre + half, 1.0))


def confusion(true: Classes, predicted: Classes, classes: int) -> NDArray[np.int64]:
    """Count the sentences of each true class by predicted class. Shape [classes, classes]: [true, predicted]."""
    return np.bincount(classes * true + predicted, minlength=classes**2).reshape(classes, classes)


class Accuracy(NamedTuple):
    """Accuracy of one row of the table, on test sentences, at one number of labels."""

    name: str  # of the run or baseline
    method: str
    classifier: str
    labels: int | None  # None: the row does not depend on the number of labels
    used: int  # labelled sentences used, mean over draws
    shares: tuple[float, ...]  # share of test sentences that are right, for each draw
    confusion: NDArray[np.int64]  # summed over draws  [true, predicted]

    @property
    def value(self) -> float:
        """Mean accuracy over draws, in [0, 1]."""
        return float(np.mean(self.shares))

    @property
    def deviation(self) -> float | None:
        """Standard deviation over draws; None for a single draw."""
        return float(np.std(self.shares, ddof=1)) if len(self.shares) > 1 else None

    @property
    def tested(self) -> int:
        """Number of test sentences, the same for each draw."""
        return int(self.confusion.sum()) // len(self.shares)

    @property
    def standard_error(self) -> float:
        """Standard error over test sentences of the mean over draws, taken as one draw."""
        return math.sqrt(self.value * (1 - self.value) / self.tested)

    @property
    def interval(self) -> Interval:
        """95 % interval over test sentences (Wilson) of the mean over draws, taken as one draw."""
        return wilson(self.value * self.tested, self.tested)


def name_clusters(clusters: Classes, labels: Classes, classes: int) -> Classes:
    """Return the class of each cluster, [classes]: the one-to-one assignment with the most sentences right.

    Clusters are numbers below `classes`; clusters and labels have the shape [n].

    Source: Kuhn 1955, the Hungarian method.
    """
    from scipy.optimize import linear_sum_assignment

    rows, columns = linear_sum_assignment(confusion(clusters, labels, classes), maximize=True)
    names: Classes = np.empty(classes, dtype=np.int64)
    names[rows] = columns
    return names


def name_by_confidence(probabilities: NDArray[np.float64], labels: Classes) -> Classes:
    """Name each cluster by the label of its most confident sentence, as the authors' code does; names may repeat.

    Probabilities of belonging to each cluster have the shape [n, clusters], labels [n]; returns [clusters].
    """
    names: Classes = labels[probabilities.argmax(axis=0)]
    return names


class Clusters:
    """A Gaussian mixture on codes, with as many components as there are classes."""

    def __init__(
        self, codes: Floats, classes: int, seed: int, components: int | None = None, standardize: bool = True
    ) -> None:
        """Fit the mixture to codes [n, latent], at least as many as classes.

        `components` is the number of principal components of the codes to keep; None: the codes themselves.
        `standardize` first scales every dimension to mean 0 and variance 1.
        """
        from sklearn.decomposition import PCA
        from sklearn.mixture import GaussianMixture
        from sklearn.pipeline import make_pipeline

        reduce = [PCA(components, random_state=seed)] if components else []
        mixture = GaussianMixture(classes, random_state=seed, max_iter=500)
        self.classes = classes
        self._pipeline = make_pipeline(*_scaler(standardize), *reduce, mixture)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a mixture that has not converged by then is used as it is
            self._pipeline.fit(codes.astype(np.float64))

    def probabilities(self, codes: Floats) -> NDArray[np.float64]:
        """Return the probabilities of belonging to each component, [n, classes]."""
        found: NDArray[np.float64] = self._pipeline.predict_proba(codes.astype(np.float64))
        return found

    def names(self, codes: Floats, labels: Classes, naming: Naming) -> Classes:
        """Return the class of each component, by codes [n, latent] of sentences with known classes [n]."""
        probabilities = self.probabilities(codes)
        if naming == "authors":
            return name_by_confidence(probabilities, labels)
        return name_clusters(probabilities.argmax(axis=1), labels, self.classes)


def svm_classes(
    codes: Floats, labels: Classes, wanted: Floats, kernel: Kernel, seed: int, standardize: bool = True
) -> Classes:
    """Predict the classes of the codes `wanted` by a support vector machine trained on labelled codes.

    Codes have the shape [n, latent] and classes [n]. The seed sets the cross-validation folds that choose C.
    `standardize` first scales every dimension to mean 0 and variance 1.
    """
    steps = [*_scaler(standardize), _machine(kernel)]
    return _classes(steps, codes.astype(np.float64), labels, wanted.astype(np.float64), COSTS[kernel], seed)


def word_classes(texts: Sequence[str], labels: Classes, wanted: Sequence[str], seed: int) -> Classes:
    """Predict the classes of the texts `wanted` by a linear support vector machine on words (TF-IDF).

    C is chosen by cross-validation on the labelled texts; the seed sets the folds.
    """
    from sklearn.feature_extraction.text import TfidfVectorizer

    if not any(text.split() for text in texts):
        return np.full(len(wanted), _commonest(labels))
    steps = [TfidfVectorizer(token_pattern=r"\S+", sublinear_tf=True), _machine("linear")]
    fitted, tested = (np.array(given, dtype=object) for given in (texts, wanted))
    return _classes(steps, fitted, labels, tested, COSTS["linear"], seed)


def _scaler(standardize: bool) -> list[Any]:
    from sklearn.preprocessing import StandardScaler

    return [StandardScaler()] if standardize else []


def _machine(kernel: Kernel) -> Any:
    from sklearn.svm import SVC, LinearSVC

    # dual=False: the primal problem suits few dimensions and many sentences, needs no seed and always converges.
    return SVC(kernel="rbf") if kernel == "rbf" else LinearSVC(dual=False)


def _classes(
    steps: Sequence[Any], given: Any, labels: Classes, wanted: Any, costs: Sequence[float], seed: int
) -> Classes:
    """Predict classes by a pipeline whose last step has the best C by cross-validation within `given`."""
    from sklearn.pipeline import make_pipeline

    if len(np.unique(labels)) < 2:
        return np.full(len(wanted), _commonest(labels))
    pipeline = make_pipeline(*steps)
    name = f"{pipeline.steps[-1][0]}__C"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # solvers may stop short of their tolerance at a large C
        pipeline.set_params(**{name: _best_cost(pipeline, name, given, labels, costs, seed)})
        pipeline.fit(given, labels)
        found: Classes = pipeline.predict(wanted)
    return found


def _best_cost(
    pipeline: Any, name: str, given: Any, labels: Classes, costs: Sequence[float], seed: int
) -> float:
    """Choose C by cross-validation on at most CHOSEN_ON labelled sentences; all steps are fitted per fold."""
    from sklearn.model_selection import GridSearchCV, StratifiedKFold

    chosen = np.random.default_rng(seed).permutation(len(labels))[:CHOSEN_ON]
    counts = np.sort(np.unique(labels[chosen], return_counts=True)[1])
    if len(counts) < 2 or counts[-2] < 2:  # some fold would contain one class alone
        return costs[0]
    folds = StratifiedKFold(min(FOLDS, int(counts[-2])), shuffle=True, random_state=seed)
    search = GridSearchCV(pipeline, {name: list(costs)}, cv=folds, refit=False)
    search.fit(given[chosen], labels[chosen])
    return float(search.best_params_[name])


def _commonest(labels: Classes) -> int:
    return int(np.bincount(labels).argmax())

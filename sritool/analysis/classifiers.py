"""Classes of sentences from their codes, without labels and with few; and how often they are right.

Everything that is learnt is learnt from the arguments: scaling, vocabulary and the cost of errors come from the
sentences given for fitting alone.
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
"""C of the machine, by its kernel; of those that are equally good the first is taken, as few labels cannot tell them
apart and one far from 1 fits badly."""

FOLDS = 5
CHOSEN_ON = 2000  # labelled sentences at most that C is chosen on: a kernel's cost grows with their square
_NORMAL_95 = 1.959963984540054


class Interval(NamedTuple):
    """Bounds of a share."""

    low: float
    high: float


def wilson(right: float, count: int) -> Interval:
    """Return the 95 % interval of a share of `count` independent trials.

    Source: Wilson 1927; it keeps its level near 0 and 1, where the normal approximation does not.
    """
    share, square = right / count, _NORMAL_95**2
    centre = (share + square / (2 * count)) / (1 + square / count)
    spread = math.sqrt(share * (1 - share) / count + square / (4 * count**2))
    half = _NORMAL_95 / (1 + square / count) * spread
    return Interval(max(centre - half, 0.0), min(centre + half, 1.0))


def confusion(true: Classes, predicted: Classes, classes: int) -> NDArray[np.int64]:
    """Count how many sentences of each class [true] were taken for each [predicted]. Shape [classes, classes]."""
    table = np.zeros((classes, classes), dtype=np.int64)
    np.add.at(table, (true, predicted), 1)
    return table


class Accuracy(NamedTuple):
    """One row's share of test sentences whose class was told, at one number of labels."""

    name: str  # the run's, or of a row that gives a scale
    method: str
    classifier: str
    labels: int | None  # None: whatever their number
    used: int  # labelled sentences that were there, on average over draws
    shares: tuple[float, ...]  # of each draw
    confusion: NDArray[np.int64]  # sums over draws  [true, predicted]

    @property
    def value(self) -> float:
        """Mean over draws."""
        return float(np.mean(self.shares))

    @property
    def deviation(self) -> float | None:
        """Standard deviation over draws; None for one."""
        return float(np.std(self.shares, ddof=1)) if len(self.shares) > 1 else None

    @property
    def tested(self) -> int:
        """Test sentences, the same for each draw."""
        return int(self.confusion.sum()) // len(self.shares)

    @property
    def standard_error(self) -> float:
        """Over test sentences, of the mean over draws as if it were one draw: what other sentences would change."""
        return math.sqrt(self.value * (1 - self.value) / self.tested)

    @property
    def interval(self) -> Interval:
        """95 %, over test sentences (Wilson), of the mean over draws as if it were one draw."""
        return wilson(self.value * self.tested, self.tested)


def name_clusters(clusters: Classes, labels: Classes, classes: int) -> Classes:
    """Return the class of each cluster: one to one, so that most of these sentences are right. Shape [classes].

    Clusters are numbers below `classes`; clusters and labels have the shape [n].

    Source: Kuhn 1955, the Hungarian method.
    """
    from scipy.optimize import linear_sum_assignment

    rows, columns = linear_sum_assignment(confusion(clusters, labels, classes), maximize=True)
    names: Classes = np.empty(classes, dtype=np.int64)
    names[rows] = columns
    return names


def name_by_confidence(probabilities: NDArray[np.float64], labels: Classes) -> Classes:
    """Name each cluster by the label of its one most confident sentence, as the authors' code does; two may agree.

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

        `components` is how many principal components of the codes to keep, all if None; `standardize` brings every
        dimension to mean 0 and variance 1 first.
        """
        from sklearn.decomposition import PCA
        from sklearn.mixture import GaussianMixture
        from sklearn.pipeline import make_pipeline

        reduce = [PCA(components, random_state=seed)] if components else []
        mixture = GaussianMixture(classes, random_state=seed, max_iter=500)
        self.classes = classes
        self._pipeline = make_pipeline(*_scaler(standardize), *reduce, mixture)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # one that has not settled after so many rounds is used as it is
            self._pipeline.fit(codes.astype(np.float64))

    def probabilities(self, codes: Floats) -> NDArray[np.float64]:
        """Of belonging to each component: [n, classes]."""
        found: NDArray[np.float64] = self._pipeline.predict_proba(codes.astype(np.float64))
        return found

    def names(self, codes: Floats, labels: Classes, naming: Naming) -> Classes:
        """Give each component a class, by codes [n, latent] of sentences whose classes are known."""
        probabilities = self.probabilities(codes)
        if naming == "authors":
            return name_by_confidence(probabilities, labels)
        return name_clusters(probabilities.argmax(axis=1), labels, self.classes)


def svm_classes(
    codes: Floats, labels: Classes, wanted: Floats, kernel: Kernel, seed: int, standardize: bool = True
) -> Classes:
    """Tell the classes of wanted codes by a support vector machine on labelled ones.

    Codes have the shape [n, latent] and classes [n]. The seed is of the folds that C is chosen by. `standardize`
    brings every dimension to mean 0 and variance 1 first.
    """
    steps = [*_scaler(standardize), _machine(kernel, seed)]
    return _classes(steps, codes.astype(np.float64), labels, wanted.astype(np.float64), COSTS[kernel], seed)


def word_classes(texts: Sequence[str], labels: Classes, wanted: Sequence[str], seed: int) -> Classes:
    """Tell the classes of the wanted texts by a linear support vector machine on words (TF-IDF).

    C is chosen by folds of labelled texts, which the seed makes.
    """
    from sklearn.feature_extraction.text import TfidfVectorizer

    if not any(text.split() for text in texts):
        return np.full(len(wanted), _commonest(labels))
    steps = [TfidfVectorizer(token_pattern=r"\S+", sublinear_tf=True), _machine("linear", seed)]
    known, asked = (np.array(given, dtype=object) for given in (texts, wanted))
    return _classes(steps, known, labels, asked, COSTS["linear"], seed)


def _scaler(standardize: bool) -> list[Any]:
    from sklearn.preprocessing import StandardScaler

    return [StandardScaler()] if standardize else []


def _machine(kernel: Kernel, seed: int) -> Any:
    from sklearn.svm import SVC, LinearSVC

    # Few dimensions and many sentences: the primal problem; it needs no seed, and always ends.
    return SVC(kernel="rbf") if kernel == "rbf" else LinearSVC(dual=False, random_state=seed)


def _classes(
    steps: Sequence[Any], given: Any, labels: Classes, wanted: Any, costs: Sequence[float], seed: int
) -> Classes:
    """Predictions of a pipeline whose last step has the C that cross-validation within `given` is best with."""
    from sklearn.pipeline import make_pipeline

    if len(np.unique(labels)) < 2:
        return np.full(len(wanted), _commonest(labels))
    pipeline = make_pipeline(*steps)
    name = f"{pipeline.steps[-1][0]}__C"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of solvers that stopped short of their tolerance at a large C
        pipeline.set_params(**{name: _best_cost(pipeline, name, given, labels, costs, seed)})
        pipeline.fit(given, labels)
        found: Classes = pipeline.predict(wanted)
    return found


def _best_cost(
    pipeline: Any, name: str, given: Any, labels: Classes, costs: Sequence[float], seed: int
) -> float:
    """C by cross-validation on at most CHOSEN_ON of the labelled sentences; everything is fitted in the folds."""
    from sklearn.model_selection import GridSearchCV, StratifiedKFold

    chosen = np.random.default_rng(seed).permutation(len(labels))[:CHOSEN_ON]
    counts = np.sort(np.unique(labels[chosen], return_counts=True)[1])
    if len(counts) < 2 or counts[-2] < 2:  # some fold would be fitted on one class alone
        return costs[0]
    folds = StratifiedKFold(min(FOLDS, int(counts[-2])), shuffle=True, random_state=seed)
    search = GridSearchCV(pipeline, {name: list(costs)}, cv=folds, refit=False)
    search.fit(given[chosen], labels[chosen])
    return float(search.best_params_[name])


def _commonest(labels: Classes) -> int:
    return int(np.bincount(labels).argmax())

"""Interpolation between codes, arcs against the slerp formula, and smoothness by hand."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache
from itertools import chain
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sritool.analysis import interpolation as task
from sritool.analysis.interpolation import (
    Way,
    codes_between,
    edit_distance,
    edits,
    interpolate,
    prior_pairs,
    read_pairs,
    sentence_pairs,
    smoothness,
)
from sritool.api import Model, load
from sritool.errors import DataError, UsageError
from sritool.model.decoding import DecodingConfig

SHORT = DecodingConfig(max_length=6)
DRAWN = DecodingConfig(greedy=False, max_length=6)


@pytest.fixture(scope="module")
def model(begin_run: Callable[..., object], tmp_path_factory: pytest.TempPathFactory) -> Model:
    run = begin_run(tmp_path_factory.mktemp("runs"))
    run.train()  # type: ignore[attr-defined]
    return load(run.folder)  # type: ignore[attr-defined]


def test_line_decodes_its_codes(model: Model) -> None:
    ends = prior_pairs(model, 3, seed=4)
    lines = interpolate(model, ends, Way(5), DRAWN, seed=1)
    assert [len(line) for line in lines] == [5, 5, 5]
    codes = np.concatenate([[(1 - t) * a + t * b for t in np.linspace(0, 1, 5)] for a, b in ends])
    assert list(chain.from_iterable(lines)) == model.decode_whole(codes, DRAWN, seed=1)
    assert len({sentence.text for line in lines for sentence in line}) > 5
    far = interpolate(model, 20 * ends, Way(5), DRAWN, seed=1)
    around = interpolate(model, 20 * ends, Way(5, spherical=True), DRAWN, seed=1)
    assert [line[0] for line in around] == [line[0] for line in far]
    assert around != far


def test_prior_pairs_are_the_first_prior_codes(model: Model) -> None:
    pairs = prior_pairs(model, 3, seed=4)
    np.testing.assert_array_equal(pairs.reshape(6, -1), model.prior(6, seed=4))
    np.testing.assert_array_equal(prior_pairs(model, 1, seed=4), pairs[:1])
    line = interpolate(model, pairs, Way(5), SHORT, seed=4)[0]
    assert model.interpolate(5, 4, SHORT) == [sentence.text for sentence in line]


def test_sentence_ends_are_means_of_chains(model: Model) -> None:
    pairs = [("a gardener greets kites", "one nurse paints a lantern"), ("the old pilot", "")]
    flat = [sentence for pair in pairs for sentence in pair]
    for chains in (1, 3):
        found = sentence_pairs(model, pairs, chains, seed=2)
        np.testing.assert_allclose(found.reshape(4, -1), model.encode(flat, chains, seed=2), atol=1e-6)
    one, other = sentence_pairs(model, pairs[:1], 3, seed=2)[0]
    line = model.interpolate(3, 2, DRAWN, between=pairs[0], spherical=True, chains=3)
    assert line[::2] == [model.decode([code], DRAWN, 2, row)[0] for row, code in ((0, one), (2, other))]


def test_edits_and_smoothness_by_hand(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = [["a b c", "a b c", "a x c d"], ["p q", "p", "p"]]
    assert edits(lines[0]) == [0, 2]
    assert edits(lines[1]) == [1, 0]
    monkeypatch.setattr(task, "STRANGERS", 2)
    monkeypatch.setattr(model, "decode", lambda *_: ["k l m", "k l", "k", "r s t u v"])
    found = smoothness(model, lines, SHORT, seed=0)
    assert found.neighbours == pytest.approx(0.75)  # means of the lines: 1 and 0.5
    assert found.neighbours_error == pytest.approx(0.25)
    assert found.strangers == pytest.approx(3)  # 1 and 5
    assert found.strangers_error == pytest.approx(2)
    assert found.distinct == pytest.approx(2 / 3)
    assert math.isnan(smoothness(model, lines[:1], SHORT, seed=0).neighbours_error)


def test_smoothness_baseline_is_independent_of_the_lines(model: Model) -> None:
    pairs = [smoothness(model, [["a", "b"]], DRAWN, 5), smoothness(model, [["c d", "c d"]], DRAWN, 5)]
    assert pairs[0].strangers == pairs[1].strangers > 0
    assert smoothness(model, [["a", "b"]], DRAWN, 6).strangers != pairs[0].strangers


def test_pairs_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "pairs.tsv"  # not read as a table, despite the extension
    file.write_text("text\tlabel\r\na heron waits\tan otter swims\n", encoding="utf-8")
    assert read_pairs(file) == [("text", "label"), ("a heron waits", "an otter swims")]
    for content, problem in (("a\tb\nno pair\n", "line 2 has no tab"), ("a\tb\tc\n", "line 1 has 2 tabs")):
        file.write_text(content, encoding="utf-8")
        with pytest.raises(DataError, match=problem):
            read_pairs(file)
    file.write_text("", encoding="utf-8")
    with pytest.raises(DataError, match="is empty"):
        read_pairs(file)


def test_single_point_is_refused() -> None:
    with pytest.raises(UsageError, match="at least 2"):
        Way(1)


def code(*values: float) -> np.ndarray:
    return np.array(values, dtype=np.float32)


def test_line_by_hand() -> None:
    found = codes_between(code(0, 2), code(4, -2), 5)
    np.testing.assert_allclose(found, [[0, 2], [1, 1], [2, 0], [3, -1], [4, -2]])
    assert found.dtype == np.float32


@pytest.mark.parametrize("spherical", [False, True])
def test_both_ends_are_exact(spherical: bool) -> None:
    random = np.random.default_rng(0)
    for latent in (1, 2, 32):
        first, last = random.normal(size=(2, latent)).astype(np.float32)
        found = codes_between(first, last, 2, spherical)
        np.testing.assert_array_equal(found, [first, last])


def test_arc_is_slerp_with_interpolated_norms() -> None:
    """slerp(u, v, t) = (sin((1 − t) ω) u + sin(t ω) v) / sin ω."""
    random = np.random.default_rng(1)
    for _ in range(20):
        first, last = random.normal(size=(2, 8)) * random.uniform(0.1, 5, (2, 1))
        found = codes_between(first.astype(np.float32), last.astype(np.float32), 9, spherical=True)
        norms = np.linalg.norm(first), np.linalg.norm(last)
        u, v = first / norms[0], last / norms[1]
        angle = math.acos(u @ v)
        for share, point in zip(np.linspace(0, 1, 9), found, strict=True):
            turned = (math.sin((1 - share) * angle) * u + math.sin(share * angle) * v) / math.sin(angle)
            np.testing.assert_allclose(point, ((1 - share) * norms[0] + share * norms[1]) * turned, atol=2e-6)


def test_arc_of_degenerate_ends() -> None:
    """Opposite ends, equal directions, zeros: finite, with interpolated norms, at an even rate."""
    opposite = codes_between(code(0, 2, 0), code(0, -2, 0), 5, spherical=True)
    np.testing.assert_allclose(np.linalg.norm(opposite, axis=1), 2, rtol=1e-6)
    steps = np.linalg.norm(np.diff(opposite, axis=0), axis=1)
    np.testing.assert_allclose(steps, 2 * 2 * math.sin(math.pi / 8), rtol=1e-5)
    same = codes_between(code(1, 1), code(3, 3), 3, spherical=True)
    np.testing.assert_allclose(same, [[1, 1], [2, 2], [3, 3]], rtol=1e-6)
    nearly = codes_between(code(1, 0), code(1, 1e-9), 3, spherical=True)
    np.testing.assert_allclose(nearly, [[1, 0]] * 3, atol=1e-6)
    zero = codes_between(code(0, 0), code(0, 4), 3, spherical=True)
    np.testing.assert_allclose(zero, [[0, 0], [0, 2], [0, 4]])
    np.testing.assert_array_equal(codes_between(code(0, 0), code(0, 0), 3, spherical=True), np.zeros((3, 2)))
    np.testing.assert_allclose(
        codes_between(code(-1), code(1), 3, spherical=True)[:, 0], [-1, 0, 1], atol=1e-7
    )


WORDS = st.lists(st.sampled_from("abc"), max_size=7)


@pytest.mark.parametrize(
    ("one", "other", "distance"),
    [
        ("", "", 0),
        ("a b c", "", 3),
        ("the cat sat", "the cat sat", 0),
        ("the cat sat", "the big cat sat", 1),
        ("the cat sat", "the dog ran", 2),
        ("a b c d", "b c d e", 2),
        ("k i t t e n", "s i t t i n g", 3),
    ],
)
def test_edit_distances_by_hand(one: str, other: str, distance: int) -> None:
    assert edit_distance(one.split(), other.split()) == distance
    assert edit_distance(other.split(), one.split()) == distance


@given(one=WORDS, other=WORDS)
def test_edit_distance_matches_the_recursion(one: list[str], other: list[str]) -> None:
    @cache
    def least(i: int, j: int) -> int:
        if not i or not j:
            return i + j
        swap = least(i - 1, j - 1) + (one[i - 1] != other[j - 1])
        return min(swap, least(i - 1, j) + 1, least(i, j - 1) + 1)

    assert edit_distance(one, other) == least(len(one), len(other))

"""Figures of samples by hand, against sacrebleu and `log_likelihood`, and reverse perplexity of known value."""

from __future__ import annotations

import math
import random
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sritool.analysis import reverse_perplexity as reverse
from sritool.analysis import samples as module
from sritool.analysis.reverse_perplexity import reverse_perplexity
from sritool.analysis.samples import METRICS, Real, distinct, figures, parse_metrics, self_bleu, unique_share
from sritool.api import Model, load
from sritool.data.store import Corpus
from sritool.errors import UsageError
from sritool.runs.model import Decoded

VARIED = METRICS[:4]


@pytest.fixture(scope="module")
def model(begin_run: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory) -> Model:
    run = begin_run(tmp_path_factory.mktemp("runs"))
    run.train()
    return load(run.folder)


def silent(label: str, done: int, total: int) -> None:
    pass


SAMPLES = ["a gardener greets kites", "one nurse greets kites", "a gardener greets kites", "kites"]
DECODED = [Decoded(text, ended=True) for text in SAMPLES]


def test_figures_of_text_by_hand(model: Model) -> None:
    rows = {row.metric: row for row in figures(model, DECODED, VARIED, 0, silent).rows}
    assert list(rows) == list(VARIED)
    assert rows["unique"].samples.value == 3 / 4
    assert rows["distinct-1"].samples.value == 6 / 13
    assert rows["distinct-2"].samples.value == 5 / 9
    assert rows["self-bleu"].samples.standard_error > 0
    assert all(row.real is None for row in rows.values())


def test_as_many_real_sentences_as_samples(model: Model, corpus: Corpus) -> None:
    real = Real("toy test", corpus.split("test"), None)
    found = figures(model, DECODED, ("unique", "distinct-1"), 0, silent, real, reference=True)
    assert [(row.samples.sentences, row.real.sentences) for row in found.rows if row.real] == [(4, 4)] * 2
    assert found.rows[0].real is not None
    assert found.rows[0].real.value == 1.0
    assert found.notes == []
    many = figures(model, DECODED * 3, ("unique",), 0, silent, real, reference=True)
    assert many.rows[0].samples == figures(model, (DECODED * 3)[:10], ("unique",), 0, silent).rows[0].samples
    assert many.notes == ["toy test has 10 sentences: all figures but reverse-ppl use that many samples"]


def test_nll_is_the_models_own_log_likelihood(model: Model) -> None:
    sentence, token = figures(model, DECODED, ("nll",), 3, silent).rows
    log_p = model.log_likelihood(SAMPLES, seed=3)
    assert sentence.samples.value == pytest.approx(-log_p.mean())
    assert sentence.samples.standard_error == pytest.approx(log_p.std(ddof=1) / 2)
    predictions = sum(len(text.split()) + 1 for text in SAMPLES)
    assert token.metric == "nll-per-token"
    assert token.samples.value == pytest.approx(-log_p.sum() / predictions)


def test_cut_samples_have_no_end_in_their_nll(model: Model) -> None:
    """log p of a cut sentence and that it ends there make up log p of the whole one."""
    cut = [Decoded(sentence.text, ended=False) for sentence in DECODED]
    of_cut, _ = figures(model, cut, ("nll",), 3, silent).rows
    whole, _ = figures(model, DECODED, ("nll",), 3, silent).rows
    assert of_cut.samples.value < whole.samples.value - 0.01
    split = model.split_of(cut)
    assert (split.lengths == [4, 4, 4, 1]).all()
    assert not split.ended.any()


@pytest.mark.slow
def test_reverse_perplexity_of_a_learnt_sentence_is_one(model: Model) -> None:
    real = model.split([SAMPLES[0]] * 3)
    known = reverse_perplexity(model, [DECODED[0]] * 100, real, silent)
    assert 1.0 <= known.value < 1.2
    other = reverse_perplexity(model, [DECODED[1]] * 40, real, silent)
    assert other.value > 2 * known.value


def test_reverse_perplexity_trains_on_samples_only(
    model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Corpus] = []

    class Spy(reverse.Trainer):
        def __init__(self, corpus: Corpus, *args: Any) -> None:
            seen.append(corpus)
            super().__init__(corpus, *args)

    monkeypatch.setattr(reverse, "Trainer", Spy)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    words = ["lantern", "kites", "pilot", "nurse", "barrel"]
    sentences = [f"{one} {two} {three}" for one in words for two in words for three in words][:40]
    given = [Decoded(text, ended=True) for text in sentences]
    reports: list[tuple[str, int, int]] = []
    once = reverse_perplexity(model, given, model.split(SAMPLES), lambda *args: reports.append(args))
    train, valid = (
        [model.tokenizer.decode(split.targets(i)[:-1].tolist()) for i in range(len(split))]
        for split in (seen[0].split("train"), seen[0].split("valid"))
    )
    assert valid == sentences[::10]
    assert sorted(train + valid) == sorted(sentences)
    assert list(tmp_path.iterdir()) == []
    assert any("epoch 2 of" in label for label, _, _ in reports)
    assert all(0 <= done <= total for _, done, total in reports)
    again = reverse_perplexity(model, given, model.split(SAMPLES), silent)
    assert again.value == once.value
    assert again.sentences == len(SAMPLES)


def test_reverse_perplexity_of_real_training_sentences(
    model: Model, corpus: Corpus, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[list[Decoded]] = []

    def answer(_: Model, sentences: list[Decoded], *rest: Any) -> Any:
        asked.append(list(sentences))
        return type("Found", (), {"value": 5.0 + len(asked), "standard_error": 0.5})

    monkeypatch.setattr(module, "reverse_perplexity", answer)
    real = Real("toy test", corpus.split("test"), corpus.split("train"))
    samples = DECODED * 5
    (row,) = figures(model, samples, ("reverse-ppl",), 0, silent, real, reference=True).rows
    assert asked[0] == samples
    assert len(asked[1]) == 20
    everything = corpus.split("train")
    texts = {model.tokenizer.decode(everything.targets(i)[:-1].tolist()) for i in range(22)}
    assert {sentence.text for sentence in asked[1]} <= texts
    assert row.real is not None
    assert (row.samples.value, row.real.value) == (6.0, 7.0)
    own = figures(model, samples, ("reverse-ppl",), 0, silent, real._replace(training=None), reference=True)
    assert own.rows[0].real is None
    assert "needs the prepared corpus" in own.notes[-1]


def test_too_few_samples_for_reverse_perplexity(model: Model, corpus: Corpus) -> None:
    real = Real("toy test", corpus.split("test"), None)
    with pytest.raises(UsageError, match=r"at least 20 sentences .*-n"):
        figures(model, DECODED, ("nll", "reverse-ppl"), 0, silent, real)


def test_names_of_metrics() -> None:
    assert parse_metrics("nll, unique") == ("unique", "nll")
    assert parse_metrics("all") == METRICS
    with pytest.raises(UsageError, match="no metric 'self-blue' of samples; did you mean self-bleu"):
        parse_metrics("unique,self-blue")
    with pytest.raises(UsageError, match="known: unique, distinct-1"):
        parse_metrics("xyz")
    with pytest.raises(UsageError, match="--metrics is empty"):
        parse_metrics(" ,")


def test_cut_sentence_keeps_its_last_word(model: Model) -> None:
    cut = model.split(["a gardener greets kites"])
    cut = type(cut)(cut.ids[:-1], cut.offsets - np.array([0, 1]), None, cut.words)
    assert module.chosen_sentences(model, cut, 1) == [Decoded("a gardener greets kites", ended=False)]
    assert math.isnan(
        figures(model, [Decoded("kites", True)], ("distinct-2",), 0, silent).rows[0].samples.value
    )


def test_unique_and_distinct_by_hand() -> None:
    sentences = ["the heron waits", "the otter waits", "the heron waits", "rain"]
    assert unique_share(sentences).value == 3 / 4
    words = [text.split() for text in sentences]
    # 3 + 3 + 3 + 1 = 10 words, of them distinct: the, heron, waits, otter, rain; 6 pairs, 4 distinct.
    assert distinct(words, 1).value == 5 / 10
    assert distinct(words, 2).value == 4 / 6
    assert distinct(words, 2).sentences == 4
    assert math.isnan(distinct([["rain"], []], 2).value)


def test_self_bleu_matches_sacrebleu() -> None:
    from sacrebleu.metrics import BLEU

    draw = random.Random(3)
    sentences = [[draw.choice("abcde.") for _ in range(draw.randint(0, 9))] for _ in range(40)]
    sentences += [["a", "a", "b"], ["a", "a", "b"], ["z", "y"]]  # twins, and one with nothing in common
    texts = [" ".join(words) for words in sentences]
    bleu = BLEU(tokenize="none", effective_order=True)
    scores = [bleu.sentence_score(text, texts[:i] + texts[i + 1 :]).score for i, text in enumerate(texts)]
    found = self_bleu(sentences)
    assert 5 < np.mean(scores) < 95
    assert found.value == pytest.approx(np.mean(scores))
    assert found.standard_error == pytest.approx(np.std(scores, ddof=1) / math.sqrt(len(scores)))
    assert found.sentences == 43


def test_self_bleu_of_copies_and_unrelated_sentences() -> None:
    assert self_bleu([["the", "old", "mill", "burns"]] * 3).value == pytest.approx(100)
    unrelated = self_bleu([["the", "old", "mill", "burns"], ["a", "fox", "ran", "by"]])
    assert unrelated.value < 10
    assert math.isnan(self_bleu([["alone"]]).value)

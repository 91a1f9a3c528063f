"""Decoding against the generator's plain form: roll-outs, enumeration, and filters by brute force."""

from __future__ import annotations

import math
from collections import Counter
from itertools import product
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from model.reference import MakeGenerator, codes, next_word_logits
from sritool.data.tokenizer import BOS, EOS, FIRST_PREDICTED, PAD, UNK
from sritool.errors import UsageError
from sritool.model import decoding
from sritool.model.decoding import DecodingConfig, decode, filter_logits
from sritool.model.random import Stream


def test_greedy_is_the_argmax_rolled_out(make_generator: MakeGenerator) -> None:
    generator, z = make_generator(scale=2.0, seed=5), codes(40)
    with torch.no_grad():
        generator.output_bias[EOS - FIRST_PREDICTED] += 0.8  # so that sentences of all lengths occur
    found = decode(generator, z, DecodingConfig(max_length=9))
    lengths = {len(words) for words in found}
    assert {0, 9} < lengths
    assert len(lengths) > 4, "the test needs sentences of several lengths"
    for words, code in zip(found, z, strict=True):
        expected: list[int] = []
        while len(expected) < 9:
            word = int(next_word_logits(generator, expected, code).argmax()) + FIRST_PREDICTED
            if word == EOS:
                break
            expected.append(word)
        assert words == expected


def test_ancestral_frequencies_are_the_probabilities(make_generator: MakeGenerator) -> None:
    """A chi-square test over all sentences of up to two words, and those of three words without </s>."""
    generator, draws = make_generator(vocabulary=6, scale=1.2), 8000
    code = codes(1)[0]
    counts = Counter(
        tuple(words)
        for words in decode(
            generator,
            code.expand(draws, -1),
            DecodingConfig(greedy=False, max_length=3),
            Stream(0, "decode"),
        )
    )
    words = range(EOS + 1, 6)
    statistic, total, kinds = 0.0, 0.0, 0
    for sentence in [s for length in range(4) for s in product(words, repeat=length)]:
        targets = [*sentence, EOS] if len(sentence) < 3 else list(sentence)
        batch = torch.tensor(targets)[:, None]
        inputs = torch.tensor([BOS, *targets[:-1]])[:, None]
        probability = math.exp(float(generator.log_likelihood(inputs, batch, code[None]).detach()))
        total += probability
        statistic += (counts[sentence] - draws * probability) ** 2 / (draws * probability)
        kinds += 1
    assert total == pytest.approx(1.0)
    assert sum(counts.values()) == draws
    freedom = kinds - 1
    assert abs(statistic - freedom) < 5 * math.sqrt(2 * freedom)


@pytest.mark.parametrize(
    "config",
    [
        DecodingConfig(max_length=12),
        DecodingConfig(greedy=False, max_length=12),
        DecodingConfig(greedy=False, temperature=0.7, top_k=4, top_p=0.9, max_length=12),
    ],
    ids=["greedy", "ancestral", "filtered"],
)
def test_sentence_depends_only_on_its_code_and_number(
    make_generator: MakeGenerator, config: DecodingConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    generator, z = make_generator(scale=1.2), codes(20)
    stream = Stream(3, "decode")
    whole = decode(generator, z, config, stream)
    assert len({tuple(words) for words in whole}) > 5
    assert decode(generator, z[:6], config, stream) == whole[:6]
    other = torch.cat([codes(12, seed=9), z[12:]])
    assert decode(generator, other, config, stream)[12:] == whole[12:]
    monkeypatch.setattr(decoding, "_ROWS", 7)
    assert decode(generator, z, config, stream) == whole


def test_seed_changes_samples_but_not_greedy_decoding(make_generator: MakeGenerator) -> None:
    generator, z = make_generator(scale=0.5), codes(20)
    config = DecodingConfig(greedy=False, max_length=12)
    drawn = [decode(generator, z, config, Stream(seed, "decode")) for seed in (0, 0, 1)]
    assert drawn[0] == drawn[1]
    assert drawn[0] != drawn[2]
    greedy = DecodingConfig(max_length=12)
    assert decode(generator, z, greedy, Stream(0, "decode")) == decode(generator, z, greedy)


def test_only_words_are_returned(make_generator: MakeGenerator) -> None:
    generator = make_generator(scale=0.5)
    found = decode(generator, codes(50), DecodingConfig(greedy=False, max_length=6), Stream(0, "decode"))
    assert len(found) == 50
    assert not {PAD, BOS, EOS} & {word for words in found for word in words}
    assert max(map(len, found)) == 6
    assert min(map(len, found)) == 0
    assert decode(generator, codes(50)[:0], DecodingConfig()) == []


def test_low_temperature_tends_to_greedy(make_generator: MakeGenerator) -> None:
    generator, z = make_generator(scale=1.5), codes(20)
    cold = DecodingConfig(greedy=False, temperature=1e-6, max_length=8)
    assert decode(generator, z, cold, Stream(0, "decode")) == decode(
        generator, z, DecodingConfig(max_length=8)
    )


@given(
    logits=st.lists(st.floats(-8, 8).map(lambda x: round(x, 3)), min_size=2, max_size=12, unique=True),
    top_k=st.integers(0, 14),
    top_p=st.floats(0.01, 1.0),
    temperature=st.floats(0.2, 3.0),
)
def test_filters_by_brute_force(logits: list[float], top_k: int, top_p: float, temperature: float) -> None:
    config = DecodingConfig(greedy=False, temperature=temperature, top_k=top_k, top_p=top_p)
    found = filter_logits(torch.tensor([logits], dtype=torch.float64), config)[0]
    scaled = {index: value / temperature for index, value in enumerate(logits)}
    kept = sorted(scaled, key=lambda index: -scaled[index])[: top_k or None]
    total = sum(math.exp(scaled[index]) for index in kept)
    nucleus, mass = [], 0.0
    for index in kept:  # the smallest set of the likeliest words whose probability reaches p
        if mass >= top_p - 1e-12 and top_p < 1:
            break
        nucleus.append(index)
        mass += math.exp(scaled[index]) / total
    alive = [index for index, value in enumerate(found.tolist()) if value > -math.inf]
    assert sorted(nucleus) == alive
    for index in alive:
        assert float(found[index]) == pytest.approx(scaled[index])


@pytest.mark.parametrize(
    ("settings", "hint"),
    [
        ({"temperature": 0.0}, "give more than 0"),
        ({"top_k": -1}, "^top-k -1: give at least 0"),
        ({"top_p": 0.0}, "^top-p 0.0: give 0 < p <= 1$"),
        ({"top_p": 1.5}, "0 < p <= 1"),
        ({"max_length": 0}, "give at least 1"),
    ],
)
def test_invalid_settings_are_refused(settings: dict[str, float], hint: str) -> None:
    with pytest.raises(UsageError, match=hint):
        DecodingConfig(**settings)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "how",
    [{}, {"greedy": False}, {"greedy": False, "top_k": 3}, {"greedy": False, "top_p": 0.8}, {"beam": 4}],
    ids=str,
)
@pytest.mark.parametrize("vocabulary", [5, 9, 300])
def test_no_unk_equals_a_generator_that_cannot_predict_it(
    make_generator: MakeGenerator, how: dict[str, Any], vocabulary: int
) -> None:
    generator, z = make_generator(vocabulary=vocabulary, scale=1.5, seed=5), codes(60)
    with torch.no_grad():
        generator.output_bias[EOS - FIRST_PREDICTED] += 0.5
        generator.output_bias[UNK - FIRST_PREDICTED] += 4.0

    def decoded(**more: Any) -> list[list[int]]:
        return decode(generator, z, DecodingConfig(**how, **more, max_length=9), Stream(0, "decode"))

    assert any(UNK in words for words in decoded())
    found = decoded(no_unk=True)
    assert not any(UNK in words for words in found)
    with torch.no_grad():
        generator.output_bias[UNK - FIRST_PREDICTED] = -1e9
    assert found == decoded()

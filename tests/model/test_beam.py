"""Beam search against enumeration, greedy decoding and a search with lists, one code at a time."""

from __future__ import annotations

import math
from itertools import product

import pytest
import torch
from torch import Tensor

from model.reference import MakeGenerator, codes, next_word_logits
from sritool.data.tokenizer import BOS, EOS, FIRST_PREDICTED
from sritool.errors import UsageError
from sritool.model import decoding
from sritool.model.beam import Search
from sritool.model.decoding import DecodingConfig, decode
from sritool.model.generator import Generator
from sritool.model.rollout import Rollout

LONGEST = 3


def log_p(generator: Generator, words: list[int], code: Tensor, longest: int) -> float:
    """log p(x|z) by the generator's plain form; a sentence of the greatest length is cut and has no </s>."""
    targets = [*words, EOS] if len(words) < longest else words
    inputs, predicted = torch.tensor([BOS, *targets[:-1]])[:, None], torch.tensor(targets)[:, None]
    return float(generator.log_likelihood(inputs, predicted, code[None]).detach())


def plain_search(generator: Generator, code: Tensor, beam: int, longest: int) -> list[int]:
    """Beam search with lists, with the generator's plain form for the next word."""
    hypotheses: list[tuple[float, list[int]]] = [(0.0, [])]
    complete: list[tuple[float, list[int]]] = []
    for _ in range(longest):
        continued = []
        for score, words in hypotheses:
            log_next = next_word_logits(generator, words, code).log_softmax(0).tolist()
            continued += [(score + value, [*words, i + FIRST_PREDICTED]) for i, value in enumerate(log_next)]
        continued.sort(key=lambda pair: -pair[0])
        complete += [(score, words[:-1]) for score, words in continued[:beam] if words[-1] == EOS]
        hypotheses = [pair for pair in continued if pair[1][-1] != EOS][:beam]
    return max(complete + hypotheses, key=lambda pair: pair[0])[1]


def lively(make_generator: MakeGenerator, vocabulary: int, seed: int, bias: float) -> Generator:
    """A generator that makes sentences of all lengths likely."""
    generator = make_generator(vocabulary=vocabulary, scale=2.5, seed=seed)
    with torch.no_grad():
        generator.output_bias[EOS - FIRST_PREDICTED] += bias
    return generator


def test_exhaustive_beam_finds_the_likeliest_sentence(make_generator: MakeGenerator) -> None:
    generator, z, words = lively(make_generator, 6, seed=4, bias=1.0), codes(60), range(EOS + 1, 6)
    every = [list(s) for length in range(LONGEST + 1) for s in product(words, repeat=length)]
    found = decode(generator, z, DecodingConfig(beam=len(words) ** LONGEST, max_length=LONGEST))
    best = [max(every, key=lambda s: log_p(generator, s, code, LONGEST)) for code in z]
    assert found == best
    assert {len(sentence) for sentence in best} == {0, 1, 2, 3}
    assert found != decode(generator, z, DecodingConfig(max_length=LONGEST)), "greedy decoding must fail here"


@pytest.mark.parametrize("beam", [2, 3, 5])
def test_beam_search_agrees_with_lists(make_generator: MakeGenerator, beam: int) -> None:
    generator, z = lively(make_generator, 9, seed=3, bias=2.5), codes(60)
    found = decode(generator, z, DecodingConfig(beam=beam, max_length=7))
    assert found == [plain_search(generator, code, beam, 7) for code in z]
    assert len({len(sentence) for sentence in found}) > 3, "the test needs sentences of several lengths"


def test_beam_one_is_greedy(make_generator: MakeGenerator) -> None:
    generator, z = make_generator(scale=2.0, seed=5), codes(40)
    with torch.no_grad():
        generator.output_bias[EOS - FIRST_PREDICTED] += 0.8
        found = Search(Rollout(generator, len(z)), z, 1, 9).run()
    assert found == decode(generator, z, DecodingConfig(max_length=9))
    assert {0, 9} < {len(sentence) for sentence in found}


def test_scores_rise_with_the_beam(make_generator: MakeGenerator) -> None:
    """In the mean: for a single code a wider beam may do worse."""
    generator, z = lively(make_generator, 9, seed=3, bias=2.5), codes(60)
    means = []
    for beam in (1, 3, 30):
        found = decode(generator, z, DecodingConfig(beam=beam, max_length=6))
        values = [log_p(generator, words, code, 6) for words, code in zip(found, z, strict=True)]
        means.append(math.fsum(values) / len(values))
    assert means[0] + 0.02 < means[1] <= means[2] + 1e-9


def test_sentence_depends_only_on_its_code(
    make_generator: MakeGenerator, monkeypatch: pytest.MonkeyPatch
) -> None:
    generator, z, config = make_generator(scale=1.5), codes(20), DecodingConfig(beam=3, max_length=8)
    whole = decode(generator, z, config)
    assert len({tuple(words) for words in whole}) > 5
    assert decode(generator, z, config) == whole
    monkeypatch.setattr(decoding, "_ROWS", 7)  # two codes at a time
    assert decode(generator, z, config) == whole
    assert decode(generator, z[:0], config) == []


def test_beam_wider_than_the_vocabulary_without_an_end(make_generator: MakeGenerator) -> None:
    generator, z = make_generator(vocabulary=5, scale=1.0), codes(6)
    with torch.no_grad():
        generator.output_bias[EOS - FIRST_PREDICTED] = -torch.inf
    found = decode(generator, z, DecodingConfig(beam=12, max_length=4))
    assert [len(words) for words in found] == [4] * 6
    assert EOS not in {word for words in found for word in words}


def test_beam_excludes_ancestral_sampling() -> None:
    for settings in ({"beam": 0}, {"beam": 2, "greedy": False}):
        with pytest.raises(UsageError, match="do not combine it with ancestral"):
            DecodingConfig(**settings)  # type: ignore[arg-type]

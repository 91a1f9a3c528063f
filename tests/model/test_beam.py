"""Beam search against enumeration, greedy decoding and a plain search, one code at a time."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import product

import pytest
import torch
from torch import Tensor

from sritool.data.tokenizer import BOS, EOS, FIRST_PREDICTED
from sritool.errors import UsageError
from sritool.model import decoding
from sritool.model.decoding import DecodingConfig, decode
from sritool.model.generator import Generator

LONGEST = 3


def codes(count: int, latent: int = 3, seed: int = 2) -> Tensor:
    return torch.randn(count, latent, generator=torch.Generator().manual_seed(seed)).double() * 1.5


def log_p(generator: Generator, words: list[int], code: Tensor, longest: int) -> float:
    """log p(x|z) by the plain form; a sentence of the most words is cut and has no </s>."""
    targets = [*words, EOS] if len(words) < longest else words
    inputs, predicted = torch.tensor([BOS, *targets[:-1]])[:, None], torch.tensor(targets)[:, None]
    return float(generator.log_likelihood(inputs, predicted, code[None]).detach())


def plain_search(generator: Generator, code: Tensor, beam: int, longest: int) -> list[int]:
    """The same search with lists: the next words' probabilities by the plain form of the generator."""
    hypotheses: list[tuple[float, list[int]]] = [(0.0, [])]
    complete: list[tuple[float, list[int]]] = []
    for _ in range(longest):
        continued = []
        for score, words in hypotheses:
            inputs = torch.tensor([BOS, *words])[:, None]
            hidden = generator.hidden_states(inputs, code[None])[-1, 0]
            log_next = (hidden @ generator.output.t() + generator.output_bias).log_softmax(0).tolist()
            continued += [(score + value, [*words, i + FIRST_PREDICTED]) for i, value in enumerate(log_next)]
        continued.sort(key=lambda pair: -pair[0])
        complete += [(score, words[:-1]) for score, words in continued[:beam] if words[-1] == EOS]
        hypotheses = [pair for pair in continued if pair[1][-1] != EOS][:beam]
    return max(complete + hypotheses, key=lambda pair: pair[0])[1]


def lively(make_generator: Callable[..., Generator], vocabulary: int, seed: int, bias: float) -> Generator:
    """A generator with likely sentences of all lengths."""
    generator = make_generator(vocabulary=vocabulary, scale=2.5, seed=seed)
    with torch.no_grad():
        generator.output_bias[EOS - FIRST_PREDICTED] += bias
    return generator


def test_a_beam_of_all_sentences_finds_the_likeliest(make_generator: Callable[..., Generator]) -> None:
    generator, z, words = lively(make_generator, 6, seed=4, bias=1.0), codes(60), range(EOS + 1, 6)
    every = [list(s) for length in range(LONGEST + 1) for s in product(words, repeat=length)]
    found = decode(generator, z, DecodingConfig(beam=len(words) ** LONGEST, max_length=LONGEST))
    best = [max(every, key=lambda s: log_p(generator, s, code, LONGEST)) for code in z]
    assert found == best
    assert {len(sentence) for sentence in best} == {0, 1, 2, 3}
    assert found != decode(generator, z, DecodingConfig(max_length=LONGEST)), "greedy does as well"


@pytest.mark.parametrize("beam", [2, 3, 5])
def test_beam_search_as_in_lists(make_generator: Callable[..., Generator], beam: int) -> None:
    generator, z = lively(make_generator, 9, seed=3, bias=2.5), codes(60)
    found = decode(generator, z, DecodingConfig(beam=beam, max_length=7))
    assert found == [plain_search(generator, code, beam, 7) for code in z]
    assert len({len(sentence) for sentence in found}) > 3, "all sentences end alike: the test says little"


def test_beam_one_is_greedy(make_generator: Callable[..., Generator]) -> None:
    from sritool.model.beam import Search
    from sritool.model.rollout import Rollout

    generator, z = make_generator(scale=2.0, seed=5), codes(40)
    with torch.no_grad():
        generator.output_bias[EOS - FIRST_PREDICTED] += 0.8
        found = Search(Rollout(generator, len(z)), z, 1, 9).run()
    assert found == decode(generator, z, DecodingConfig(max_length=9))
    assert {0, 9} < {len(sentence) for sentence in found}


def test_scores_rise_with_the_beam(make_generator: Callable[..., Generator]) -> None:
    """Not for every code, as the search is bounded; in the mean by much."""
    generator, z = lively(make_generator, 9, seed=3, bias=2.5), codes(60)
    means = []
    for beam in (1, 3, 30):
        found = decode(generator, z, DecodingConfig(beam=beam, max_length=6))
        values = [log_p(generator, words, code, 6) for words, code in zip(found, z, strict=True)]
        means.append(math.fsum(values) / len(values))
    assert means[0] + 0.02 < means[1] <= means[2] + 1e-9


def test_a_sentence_depends_on_its_code_alone(
    make_generator: Callable[..., Generator], monkeypatch: pytest.MonkeyPatch
) -> None:
    generator, z, config = make_generator(scale=1.5), codes(20), DecodingConfig(beam=3, max_length=8)
    whole = decode(generator, z, config)
    assert len({tuple(words) for words in whole}) > 5
    assert decode(generator, z, config) == whole
    monkeypatch.setattr(decoding, "_ROWS", 7)  # two codes at a time
    assert decode(generator, z, config) == whole
    assert decode(generator, z[:0], config) == []


def test_a_beam_beyond_the_vocabulary_and_without_an_end(make_generator: Callable[..., Generator]) -> None:
    generator, z = make_generator(vocabulary=5, scale=1.0), codes(6)
    with torch.no_grad():
        generator.output_bias[EOS - FIRST_PREDICTED] = -torch.inf
    found = decode(generator, z, DecodingConfig(beam=12, max_length=4))
    assert [len(words) for words in found] == [4] * 6
    assert EOS not in {word for words in found for word in words}


def test_a_beam_goes_with_greedy_only() -> None:
    for settings in ({"beam": 0}, {"beam": 2, "greedy": False}):
        with pytest.raises(UsageError, match="do not combine it with ancestral"):
            DecodingConfig(**settings)  # type: ignore[arg-type]

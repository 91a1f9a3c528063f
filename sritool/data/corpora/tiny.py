"""The bundled corpus: captions and short reviews from a seeded grammar with known latent factors.

Every sentence is drawn from the factors style, topic, subject, number, action, place, sentiment and tense.
Each factor affects several distant words (the topic: who, what and where; the tense: verbs and time words;
the sentiment: adjectives, adverbs and the ending), so a latent code of the sentence pays for its KL.
The words are in ``tiny_words.toml``; all of it is ours.
"""

from __future__ import annotations

import functools
import random
from collections.abc import Sequence
from typing import NamedTuple, TypeVar

from sritool.data.corpora.tiny_words import WORDS, Topic

TINY_SIZES = {"train": 12_000, "valid": 1_000, "test": 1_000}
LABELS = ("negative", "positive")
TENSES = ("past", "present", "future")
CAPTION_STYLES = ("plain", "place first", "there is", "witness")
REVIEW_STYLES = ("verdict", "opinion", "plan", "staff")
# Where a caption shows its sentiment: subject's mood, adverb, ending. At least once, so that the label shows.
SENTIMENT_PLACES = ((1, 0, 0), (1, 0, 0), (0, 1, 0), (0, 1, 0), (0, 0, 1), (1, 1, 0), (1, 0, 1), (0, 1, 1))
# Singular and plural.
BE = {"past": ("was", "were"), "present": ("is", "are"), "future": ("will be", "will be")}
LONGEST = 16  # words; longer draws are rejected

Item = TypeVar("Item")


class TinySentence(NamedTuple):
    """A sentence, its sentiment ("negative" or "positive"), and its latent factors."""

    text: str
    label: str
    factors: dict[str, str]


class _Dice:
    """Seeded choices. Built on ``random()`` alone, whose sequence Python promises never to change."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed).random

    def pick(self, items: Sequence[Item]) -> Item:
        return items[int(self._random() * len(items))]

    def two(self, items: Sequence[Item]) -> tuple[Item, Item]:
        first = int(self._random() * len(items))
        second = int(self._random() * (len(items) - 1))
        return items[first], items[second + (second >= first)]

    def chance(self, probability: float) -> bool:
        return self._random() < probability


@functools.lru_cache(maxsize=1)
def tiny_sentences(seed: int = 0) -> dict[str, list[TinySentence]]:
    """Return the corpus: ``train``, ``valid`` and ``test`` of ``TINY_SIZES`` sentences, all different.

    The splits share one distribution. About 7 in 10 sentences are captions, the others reviews.
    The bundled corpus has seed 0; another seed gives another sample of the same grammar. The last result is cached
    and must not be modified.
    """
    dice = _Dice(seed)
    seen: set[str] = set()
    splits: dict[str, list[TinySentence]] = {}
    for split, size in TINY_SIZES.items():
        sentences: list[TinySentence] = []
        while len(sentences) < size:
            sentence = draw_sentence(dice)
            if sentence.text not in seen and len(sentence.text.split()) <= LONGEST:
                seen.add(sentence.text)
                sentences.append(sentence)
        splits[split] = sentences
    return splits


def draw_sentence(dice: _Dice) -> TinySentence:
    """Return one draw from the grammar; it may repeat an earlier one or be longer than ``LONGEST``."""
    return _caption(dice) if dice.chance(0.7) else _review(dice)


def _caption(dice: _Dice) -> TinySentence:
    style, tense, label = dice.pick(CAPTION_STYLES), dice.pick(TENSES), dice.pick(LABELS)
    topic_name = dice.pick(tuple(WORDS.topics))
    topic = WORDS.topics[topic_name]
    plural = dice.chance(0.4)
    subject = dice.pick(topic.subjects)
    place = "" if style != "place first" and dice.chance(0.35) else dice.pick(topic.places)
    verb, complement = _action(dice, topic)
    mood, manner, scene = dice.pick(SENTIMENT_PLACES)
    existential = style == "there is"
    noun = _noun_phrase(dice, subject, plural, dice.pick(WORDS.moods[label]) if mood else "", not existential)
    adverb = dice.pick(WORDS.adverbs[label]) if manner else ""
    ending = (
        dice.pick(WORDS.scenes[label]) if scene else dice.pick(WORDS.times[tense]) if dice.chance(0.3) else ""
    )
    if style == "place first":
        words = [place, ",", noun, _conjugate(verb, tense, plural), complement, adverb, ending]
    elif existential:
        words = ["there", BE[tense][plural], noun, adverb, verb.ing, complement, place, ending]
    elif style == "witness":
        saw = {"past": "saw", "present": "see", "future": "will see"}[tense]
        words = ["we", saw, noun, adverb, verb.ing, complement, place, ending]
    else:
        words = [noun, _conjugate(verb, tense, plural, adverb), complement, place, ending]
    factors = {
        "style": style,
        "topic": topic_name,
        "subject": subject,
        "number": "plural" if plural else "singular",
        "action": verb.base,
        "place": place or "none",
        "sentiment": label,
        "tense": tense,
    }
    return TinySentence(_joined(*words, "."), label, factors)


def _joined(*words: str) -> str:
    return " ".join(filter(None, words))


class _Verb(NamedTuple):
    base: str
    third: str
    past: str
    ing: str


def _action(dice: _Dice, topic: Topic) -> tuple[_Verb, str]:
    forms, complements = dice.pick(topic.actions)
    return _Verb(*forms.split()), dice.pick(complements)


def _conjugate(verb: _Verb, tense: str, plural: bool, adverb: str = "") -> str:
    if tense == "future":
        return _joined("will", adverb, verb.base)
    present = verb.base if plural else verb.third
    return _joined(adverb, verb.past if tense == "past" else present)


def _noun_phrase(dice: _Dice, noun: str, plural: bool, adjective: str, definite: bool = True) -> str:
    the = ("the",) if definite else ()
    if plural:
        determiner = dice.pick(("two", "three", "some", *the))
        return _joined(determiner, adjective, WORDS.plurals.get(noun, noun + "s"))
    following = adjective or noun
    determiner = dice.pick(("an" if following[0] in "aeiou" else "a", *the))
    return _joined(determiner, adjective, noun)


def _review(dice: _Dice) -> TinySentence:
    style, tense, label = dice.pick(REVIEW_STYLES), dice.pick(TENSES), dice.pick(LABELS)
    venue_name = dice.pick(tuple(WORDS.venues))
    venue = WORDS.venues[venue_name]
    item, other = dice.two(tuple(venue.items))
    build = {"verdict": _verdict, "opinion": _opinion, "plan": _plan, "staff": _staff}[style]
    words, tense = build(dice, venue_name, item, other, tense, label)
    factors = {
        "style": style,
        "topic": venue_name,
        "subject": item,
        "number": "plural" if item.endswith("s") else "singular",
        "action": "review",
        "place": venue_name,
        "sentiment": label,
        "tense": tense,
    }
    mark = "!" if dice.chance(0.3) else "."
    return TinySentence(_joined(*words, mark), label, factors)


Draft = tuple[list[str], str]  # words without the final mark, and their tense


def _verdict(dice: _Dice, venue: str, item: str, other: str, tense: str, label: str) -> Draft:
    """``the soup was really tasty and the chairs were soft yesterday``."""
    words = [
        dice.pick(WORDS.openers[label]) if dice.chance(0.4) else "",
        *_clause(dice, venue, item, tense, label),
    ]
    if dice.chance(0.6):
        words += ["and", *_clause(dice, venue, other, tense, label)]
    if dice.chance(0.3):
        words.append(dice.pick(WORDS.times[tense]))
    return words, tense


def _opinion(dice: _Dice, venue: str, item: str, other: str, tense: str, label: str) -> Draft:
    """``we love this hotel because the beds are soft``."""
    person, verb = dice.pick(("we", "i", "they")), dice.pick(WORDS.verdicts[label])
    love = {"past": verb[1], "present": verb[0], "future": f"will {verb[0]}"}[tense]
    target = dice.pick((f"this {venue}", f"the {other} at this {venue}", f"the {venue}"))
    words = [person, love, target]
    if dice.chance(0.75):
        words += ["because", *_clause(dice, venue, item, tense, label)]
    return words, tense


def _plan(dice: _Dice, venue: str, item: str, other: str, tense: str, label: str) -> Draft:
    """``i will never come back to this shop since the seller was rude``; always future."""
    person = dice.pick(("we", "i", "my friends"))
    words = [person, "will", dice.pick(WORDS.endings[label]), f"to this {venue}"]
    if dice.chance(0.75):
        words += ["since", *_clause(dice, venue, item, dice.pick(("past", "present")), label)]
    return words, "future"


def _staff(dice: _Dice, venue: str, item: str, other: str, tense: str, label: str) -> Draft:
    """``the rude waiter brought salty soup``."""
    place = WORDS.venues[venue]
    plural = dice.chance(0.3)
    noun = _noun_phrase(dice, dice.pick(place.staff), plural, dice.pick(place.manners[label]))
    verb = _Verb(*dice.pick(place.services).split())
    quality = dice.pick(place.items[item][label])
    counted = not item.endswith("s") and item not in place.uncountable
    article = ("an" if quality[0] in "aeiou" else "a") if counted else ""
    words = [noun, _conjugate(verb, tense, plural), "us", article, quality, item]
    return [*words, dice.pick(WORDS.times[tense]) if dice.chance(0.5) else ""], tense


def _clause(dice: _Dice, venue: str, item: str, tense: str, label: str) -> list[str]:
    plural = item.endswith("s")
    degree = dice.pick(("very", "really", "so", "", "", ""))
    return ["the", item, BE[tense][plural], degree, dice.pick(WORDS.venues[venue].items[item][label])]


def readable_files(seed: int = 0) -> dict[str, str]:
    """Return the corpus as readable files by name: ``train.tsv`` and so on, with ``label<TAB>text`` lines."""
    return {
        f"{split}.tsv": "".join(f"{sentence.label}\t{sentence.text}\n" for sentence in sentences)
        for split, sentences in tiny_sentences(seed).items()
    }

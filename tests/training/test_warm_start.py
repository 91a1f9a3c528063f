"""Runs that start from another run's weights or from word vectors, and frozen parts."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from sritool.data.options import PrepareOptions
from sritool.data.tokenizer import FIRST_PREDICTED
from sritool.errors import UsageError
from sritool.runs.folder import BEST, LAST
from sritool.training import events
from sritool.training.configure import Given
from sritool.training.sources import with_original_source, with_source
from sritool.training.validation import validate
from sritool.training.warm_start import matching_rows
from support.runs import MemoryCorpus
from training.helpers import NewRun, assert_same_weights, copy_of

METHODS = ("sri", "lm", "ae", "vae-anneal", "vae-lagging", "sa-vae", "vae-fb")


def started_from(source: Any, new_run: NewRun, method: str, name: str, **changes: Any) -> Any:
    """A run whose weights come from the last.pt of another run."""
    return new_run(method, name, warm_start={"checkpoint": str(source.folder / LAST)}, **changes)


def nll(state: Any) -> float:
    method, valid = state.method, state.corpus.split("valid")
    likelihood = state.config.validation.likelihood
    figures = validate(method, valid, 5, likelihood, lambda *_: None)
    return next(found.value for found in figures if found.metric in ("nll", "recon"))


@pytest.mark.parametrize("method", METHODS)
def test_warm_start_with_same_settings_is_the_same_model(new_run: NewRun, method: str) -> None:
    source = new_run(method, "source")
    source.train()
    before = source.trainer.state
    again = started_from(source, new_run, method, "again").make().state
    assert not again.position.pretraining
    assert again.position.step == 0
    for name, tensor in before.method.modules.state_dict().items():
        assert torch.equal(tensor, again.method.modules.state_dict()[name]), name
    assert nll(again) == nll(before)
    (line,) = again.taken_over
    assert "16 of 16 words" in line
    assert "other words" not in line
    assert ("the encoder" in line) == (method not in ("sri", "lm"))


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("source", ["sri", "lm", "vae-anneal"])
def test_any_method_starts_from_any_other(new_run: NewRun, source: str, method: str) -> None:
    first = new_run(source, "source")
    first.train(max_steps=1)
    run = started_from(first, new_run, method, "run")
    state = run.make().state
    given, own = first.load().weights, state.method.modules.state_dict()
    same = {name for name, tensor in own.items() if name in given and torch.equal(tensor, given[name])}
    assert {f"generator.{name}" for name in ("embedding", "recurrent", "output", "initial_bias")} <= same
    assert ("generator.latent_to_gates" in same) == ("lm" not in (source, method) or source == method)
    assert ("encoder.to_code" in same) == (source == "vae-anneal" and method not in ("sri", "lm"))
    assert run.train().steps == 6


def test_known_words_keep_their_rows_others_are_drawn(new_run: NewRun, tmp_path: Path) -> None:
    fewer = MemoryCorpus(tmp_path, PrepareOptions(min_count=9))
    source = new_run("vae-anneal", "source")
    source.corpus = fewer
    source.train()
    drawn = new_run("vae-anneal", "drawn").make().state.method.modules.state_dict()
    state = started_from(source, new_run, "vae-anneal", "run").make().state
    old, own = source.load().weights, state.method.modules.state_dict()
    ids = {word: index for index, word in enumerate(fewer.tokenizer.vocabulary())}
    for index, word in enumerate(state.corpus.tokenizer.vocabulary()):
        for name, first in (("generator.embedding", 0), ("encoder.embedding", 0), ("generator.output", 2)):
            if index >= first:
                expected, row = (old, ids[word]) if word in ids else (drawn, index)
                assert torch.equal(own[name][index - first], expected[name][row - first]), (name, word)
    found = len(ids) - 4
    assert 0 < found < 16
    assert f"{found} of 16 words" in state.taken_over[0]
    assert "other words" in state.taken_over[0]


def test_rows_of_pieces_are_matched_by_piece(subword_corpus: Any, tmp_path: Path) -> None:
    larger = MemoryCorpus(tmp_path, PrepareOptions(tokenizer="unigram", vocab_size=60)).tokenizer
    rows = matching_rows(subword_corpus.tokenizer, larger)
    new, old = subword_corpus.tokenizer.vocabulary(), larger.vocabulary()
    assert [new[k] for k in rows.new] == [old[k] for k in rows.old]
    assert rows.new[: FIRST_PREDICTED + 2].tolist() == [0, 1, 2, 3]
    assert rows.found == len({*new[4:]} & {*old[4:]}) > 0


def test_mismatched_sources_are_refused_or_redrawn(new_run: NewRun, subword_corpus: Any) -> None:
    source = new_run("sri", "source")
    source.train(max_steps=1)
    for sizes, words in (
        ({"embedding": 5}, "embedding 4, not 5"),
        ({"hidden": 7}, "recurrence and output .hidden 6, not 7"),
        ({"tied_embeddings": True}, "tied_embeddings false, not true"),
    ):
        run = started_from(source, new_run, "sri", words, generator=sizes)
        with pytest.raises(UsageError, match=words) as caught:
            run.make()
        assert "\n" not in str(caught.value)
    run = started_from(source, new_run, "sri", "narrow", generator={"latent": 2})
    assert "new: the maps of z, as z had 3 dimensions" in run.make().state.taken_over[0]
    pieces = started_from(source, new_run, "sri", "pieces")
    pieces.corpus = subword_corpus
    with pytest.raises(UsageError, match="--like"):
        pieces.make()


def test_resumed_run_no_longer_needs_its_source(new_run: NewRun) -> None:
    source = new_run("sri", "source")
    source.train()
    whole, cut = (started_from(source, new_run, "vae-fb", name) for name in ("whole", "cut"))
    whole.train()
    cut.train(max_steps=2)
    digest = cut.load().config.warm_start.digest
    assert len(digest) == 64
    (source.folder / LAST).unlink()
    cut.train()
    assert next(note.text for note in cut.told(events.Note)).startswith("taken over from")
    assert cut.load().config.warm_start.digest == digest
    assert_same_weights(whole, cut)


def test_settings_that_follow_from_a_source(new_run: NewRun) -> None:
    run, autoencoder = new_run("sri", "run"), new_run("ae", "ae")
    for one in (run, autoencoder):
        one.train(max_steps=1)
    path, ae = run.folder / LAST, autoencoder.folder / LAST
    given, sizes = with_source(Given(), path)
    assert given.get("warm_start.checkpoint") == str(path)
    assert sizes == {
        "embedding": 4,
        "hidden": 6,
        "latent": 3,
        "layers": 1,
        "residual": False,
        "tied_embeddings": False,
    }
    assert "latent" not in with_source(Given({}, {"method": "lm"}), path)[1]
    encoder, none = with_source(Given({}, {"method": "vae-fb"}), ae)
    assert (encoder.get("pretraining.encoder"), none) == (str(ae), {})
    assert with_source(Given(), None) == (Given(), {})
    config = started_from(run, new_run, "sri", "again").config
    for one in (None, path, path.parent):
        given, same = with_original_source(Given({"warm_start": {"checkpoint": ""}}), one, config)
        assert given.get("warm_start.checkpoint") == str(path)
        assert same == sizes | {"code_bias": False}
    with pytest.raises(UsageError, match="began from"):
        with_original_source(Given(), ae, config)


@pytest.mark.parametrize(
    ("part", "method", "tied"),
    [
        *(("embedding", "sri", tied) for tied in (False, True)),
        *(("output", "vae-anneal", tied) for tied in (False, True)),
        *(("recurrence", "sa-vae", False), ("latent", "vae-lagging", False), ("generator", "vae-fb", False)),
        *(("encoder", "vae-fb", False), ("embedding,output", "lm", False)),
    ],
)
def test_frozen_part_does_not_change(new_run: NewRun, part: str, method: str, tied: bool) -> None:
    optimizer = {"freeze": part, "weight_decay": 0.5, "ema_decay": 0.9}
    changes = {"optimizer": optimizer, "generator": {"tied_embeddings": tied}}
    run = new_run(method, **changes)
    before = copy_of(run.make().state.method.modules.state_dict())
    members = {
        "embedding": ["generator.embedding", "encoder.embedding"],
        "recurrence": ["generator.recurrent", "generator.words_to_gates", "generator.gate_bias"],
        "latent": ["generator.latent_to_gates", "generator.latent_to_initial", "generator.initial_bias"],
        "output": [
            *(("generator.embedding", "generator.hidden_to_embedding") if tied else ("generator.output",)),
            "generator.output_bias",
        ],
        "generator": [name for name in before if name.startswith("generator.")],
        "encoder": [name for name in before if name.startswith("encoder.")],
    }
    frozen = {name for one in part.split(",") for name in members[one] if name in before}
    assert frozen
    run.train(max_steps=2)  # then resume: the part stays frozen
    run.train()
    parameters = dict(run.trainer.state.method.modules.named_parameters())
    for file in (LAST, BEST):
        after = run.load(file).weights
        assert {name for name in frozen if torch.equal(before[name], after[name])} == frozen
        trained = {name for name in parameters if name not in frozen and parameters[name].numel()}
        assert not {name for name in trained if torch.equal(before[name], after[name])}
    optimised = [p for group in run.trainer.state.optimizer.param_groups for p in group["params"]]
    assert not [name for name in frozen if any(parameters[name] is p for p in optimised)]
    assert all(parameters[name].grad is None for name in frozen)


def test_impossible_freezes_are_refused(new_run: NewRun, settings: Callable[..., Any]) -> None:
    with pytest.raises(UsageError, match="no encoder"):
        new_run("sri", optimizer={"freeze": "encoder"}).make()
    with pytest.raises(UsageError, match="nothing to train"):
        new_run("vae-anneal", "all", optimizer={"freeze": "generator,encoder"}).make()
    for part, left in (("encoder", "generator"), ("embedding,recurrence,latent,output", "encoder")):
        with pytest.raises(UsageError, match=f"leaves only the {left} to train"):
            new_run("vae-lagging", f"no {part}", optimizer={"freeze": part}).make()
    with pytest.raises(UsageError, match=r"freeze is .words."):
        settings(optimizer={"freeze": "words"})


def write_vectors(path: Path, words: Any, width: int = 4) -> dict[str, list[float]]:
    rows = {word: [k + 0.25 * j for j in range(width)] for k, word in enumerate(words, 1)}
    path.write_text("".join(" ".join([word, *map(str, row)]) + "\n" for word, row in rows.items()))
    return rows


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("method", ["sri", "vae-fb"])
def test_word_vectors_become_the_embeddings(
    new_run: NewRun, corpus: Any, tmp_path: Path, method: str, tied: bool
) -> None:
    path = tmp_path / "vectors.txt"
    rows = write_vectors(path, ["a", "kites", "never", "nowhere", "<unk>"])
    sizes, freeze = {"tied_embeddings": tied}, {"freeze": "embedding"}
    run = new_run(method, warm_start={"embeddings": str(path)}, optimizer=freeze, generator=sizes)
    drawn = new_run(method, "drawn", generator=sizes).make().state.method.modules.state_dict()
    state = run.make().state
    (line,) = state.taken_over
    tokens = [
        word for k in range(22) for word in corpus.tokenizer.decode(corpus.split("train").targets(k)).split()
    ]
    share = sum(word in ("a", "kites", "never") for word in tokens) / len(tokens)
    assert f"3 of 16 words (18.8%), {share:.1%} of the training text" in line
    assert line.endswith("the other words stay random, as --freeze keeps them")
    run.train(max_steps=2)
    path.unlink()
    run.train()  # the file is no longer needed
    assert len(run.load().config.warm_start.digest) == 64
    after = run.load(BEST).weights
    for index, word in enumerate(corpus.tokenizer.vocabulary()):
        for name in ("generator.embedding", "encoder.embedding"):
            if name in after:
                expected = torch.tensor(rows[word]) if word in rows else drawn[name][index]
                assert torch.equal(after[name][index], expected), (name, word)


def test_vectors_of_another_width_are_refused(new_run: NewRun, tmp_path: Path) -> None:
    path = tmp_path / "vectors.txt"
    write_vectors(path, ["a"], width=5)
    with pytest.raises(UsageError, match="give --embedding 5, or leave it out"):
        new_run("sri", warm_start={"embeddings": str(path)}).make()
    given = Given({}, {"warm_start": {"embeddings": str(path)}})
    assert with_source(given, None) == (given, {"embedding": 5})
    with pytest.raises(UsageError, match="leave one out"):
        new_run("sri", "both", warm_start={"embeddings": str(path), "checkpoint": "x.pt"})
